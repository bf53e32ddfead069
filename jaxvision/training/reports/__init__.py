"""Reports: the finished records of a workdir -> figures and one self-contained HTML page."""
