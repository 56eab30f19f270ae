"""Python imports this at its start where PYTHONPATH names this folder.

- Where CLOCK_SHIFT_S is set, Python's clock is that far off, the monotonic one aside. (With libfaketime
  0.9.10 Python 3.11 either fails to sleep, EINVAL, or waits for ever.)
- Where STOP_BEFORE is set (KIND PART-OF-PATH), the process stops itself before the first such durable step.
- Where LEASE_WAIT_S is set, a watcher believes that soon that a silent one is dead; a living one beats
  every 5 s.
- Where FAKE_WORKER is set, support.fake_worker plays the stages' own programs; all else is the real thing.
"""

import os
import sys
import traceback

if "CLOCK_SHIFT_S" in os.environ:
    import time
    from datetime import timedelta

    from heliograph import names

    shift_s = int(os.environ["CLOCK_SHIFT_S"])
    true_time, true_time_ns, true_now = time.time, time.time_ns, names.utc_now
    time.time = lambda: true_time() + shift_s
    time.time_ns = lambda: true_time_ns() + shift_s * 10**9
    names.utc_now = lambda: true_now() + timedelta(seconds=shift_s)

if "STOP_BEFORE" in os.environ:
    import signal

    from heliograph.durable import install_hook

    stop_kind, stop_part = os.environ["STOP_BEFORE"].split()

    def stop(moment: str, kind: str, what: str) -> None:
        if (moment, kind) == ("before", stop_kind) and stop_part in what:
            install_hook(None)
            os.kill(os.getpid(), signal.SIGSTOP)

    install_hook(stop)

if "LEASE_WAIT_S" in os.environ:
    from heliograph.state.lease import Lease

    assert Lease.take.__kwdefaults__["wait_s"] == 30.0
    Lease.take.__kwdefaults__["wait_s"] = float(os.environ["LEASE_WAIT_S"])

if "FAKE_WORKER" in os.environ and "job" not in sys.orig_argv and {"evaluate", "analyse"} & {*sys.orig_argv}:
    code = 1
    try:
        from support.fake_worker import main

        code = main()
    except BaseException:  # noqa: BLE001 - this is the process's main
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)  # SystemExit is not to be had while Python still starts
