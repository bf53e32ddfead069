"""What the commands share: flags told in one line when they are wrong, caches, and how a command ends."""

import os
import pathlib
import shlex
import signal
import sys

from absl import app, flags
from ml_collections import config_flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # So that a checkout runs uninstalled.

from jaxvision.errors import Stopped, UserError  # noqa: E402  (errors imports nothing else)


def run(main, positional: bool = False) -> None:
    """Parses the flags, runs main(), and exits: 0, 2 after a mistake of the user's, 128 + signal when stopped.

    Args:
      main: the command.
      positional: it takes arguments that are no flags, before or after the flags: they are main's only argument.
    """
    if positional:
        flags.FLAGS.set_gnu_getopt(True)
        app.run(lambda argv: _guard(lambda: main(argv[1:])), flags_parser=lambda argv: _parse(argv, positional))
    else:
        app.run(lambda unused_argv: _guard(main), flags_parser=_parse)


def define_config() -> None:
    """Defines --config and --config.KEY."""
    config_flags.DEFINE_config_file('config', help_string='Config file, e.g. configs/distill.py.')
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS['config'])  # So that --help tells of it.


def experiment_settings(all_read: bool = True):
    """The config's name, its settings after overrides, and the overridden keys; checked before JAX is loaded.

    Args:
      all_read: whether an overridden key that nothing reads under these settings is an error.
    """
    from jaxvision import settings

    config = flags.FLAGS.config
    if config is None:
        raise UserError('--config is missing; for example --config=configs/distill.py')
    try:
        getattr(config, 'seed', None)  # A file that is not there says so only when it is first asked.
    except OSError as error:
        raise UserError(one_line(error)) from error
    flag = flags.FLAGS['config']
    name = pathlib.Path(config_flags.get_config_filename(flag)).stem
    overridden = config_flags.get_override_values(flag)
    return name, settings.resolve(config, overridden if all_read else ()), overridden


def sweep(name: str, distills: bool):
    """The sweep of the config file: what its get_sweep() returns, or the config under several seeds."""
    import importlib.util

    from jaxvision.sweeps import designs

    path = config_flags.get_config_filename(flags.FLAGS['config']).partition(':')[0]
    spec = importlib.util.spec_from_file_location(f'sweep_of_{name}', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, 'get_sweep'):
        return designs.of_config(name, distills)
    try:
        found = module.get_sweep()
    except UserError:
        raise
    except Exception as error:  # Whatever the file does.
        raise UserError(f'get_sweep() of {path} raised {type(error).__name__}: {one_line(error)}') from error
    if not isinstance(found, designs.Sweep):
        raise UserError(f'get_sweep() of {path} returned a {type(found).__name__}, not a sweep')
    return found


def set_up(small: bool = False) -> None:
    """Devices and caches, before anything is computed. JAX is imported here, not for --help.

    Args:
      small: of the settings of what is trained, `Settings.small`.
    """
    from absl import logging

    from jaxvision.training import setup

    logging.set_verbosity(logging.ERROR)  # TFDS, Orbax and XLA tell much that only their developers need.
    setup.process(small=small)


def _parse(argv: list[str], positional: bool = False) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        _fail(one_line(error))
    except Exception as error:  # What a config file raised while it was read.
        _fail(f'the config file raised {type(error).__name__}: {one_line(error)}')
    if len(rest) > 1 and not positional:
        _fail(f'{rest[1]!r} is not a flag; flags are written --name=value')
    return rest


def one_line(error: Exception) -> str:
    """An error's text as one line; of a traceback in it, the last line alone."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if any(line.startswith('Traceback') for line in lines) else ' '.join(lines)


def _guard(main) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    try:
        main()
    except UserError as error:
        _fail(str(error))
    except Stopped as stop:
        print(_resume(str(stop)), file=sys.stderr)
        sys.exit(128 + stop.signal)


def _leave(number, frame):
    """Asked to stop while nothing is trained, so there is nothing to save (the loop has a handler of its own).

    Leaves at once: an exception raised here could land in a library's callback, and be told in many lines.
    """
    os.write(2, (_resume('stopped') + '\n').encode())
    os._exit(128 + number)


def _resume(message: str) -> str:
    return f'{message}; to go on: {shlex.join([sys.executable, *sys.argv])}'


def _fail(message: str):
    print(f'error: {message}', file=sys.stderr)
    sys.exit(2)
