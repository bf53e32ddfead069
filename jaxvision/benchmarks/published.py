"""A published script for CIFAR-10 as it stands, run by another interpreter one training at a time.

    PYTHON published.py SCRIPT ARRAYS

SCRIPT is airbench94_muon.py of Jordan's cifar10-airbench; ARRAYS an .npz of {train, test}_{images, labels}, uint8 and
integers. Its first line of output is torch's version and the number of parameters that are trained. Each line that it
reads starts one training, and is answered by the seconds that the script itself has counted (whitening, training and
evaluation of several views) and its test accuracy. It imports nothing of jaxvision.
"""

import contextlib
import importlib.util
import io
import os
import sys
import tempfile

import numpy as np
import torch  # pyright: ignore[reportMissingImports]


def put(folder, arrays):
    """The data where the script looks for it, in the form that it keeps of its own download."""
    os.makedirs(os.path.join(folder, 'cifar10'))
    for split in ('train', 'test'):
        images, labels = (torch.from_numpy(arrays[f'{split}_{what}']) for what in ('images', 'labels'))
        content = {'images': images, 'labels': labels.long(), 'classes': [str(number) for number in range(10)]}
        torch.save(content, os.path.join(folder, 'cifar10', f'{split}.pt'))


def load(path):
    sys.argv[0] = path  # It reads itself, by this name.
    spec = importlib.util.spec_from_file_location('airbench', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with contextlib.redirect_stdout(sys.stderr):  # Our line comes first.
        spec.loader.exec_module(module)
    return module


def once(script, run, model):
    """Seconds and accuracy of one training: the last cell of the table that it prints, and what it returns."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        accuracy = script.main(run, model)
    last = [line for line in said.getvalue().splitlines() if line.startswith('|')][-1]
    return float(last.strip('| \n').split('|')[-1]), accuracy


def main():
    path, arrays = os.path.abspath(sys.argv[1]), dict(np.load(sys.argv[2]))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        put(folder, arrays)
        script = load(path)
        model = script.CifarNet().cuda().to(memory_format=torch.channels_last)
        model.compile(mode='max-autotune')  # As its last lines do.
        print(torch.__version__, sum(each.numel() for each in model.parameters() if each.requires_grad), flush=True)
        for number, _ in enumerate(sys.stdin):
            print(*once(script, number if number else 'warmup', model), flush=True)
        os.chdir('/')


if __name__ == '__main__':
    main()
