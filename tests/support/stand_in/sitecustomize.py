"""Python imports this at its start where PYTHONPATH names this folder: jobs then run support.fake_worker in
place of the stages' own programs, while everything else is the real thing."""

import os
import sys
import traceback

if "job" not in sys.orig_argv and {"evaluate", "analyse"} & {*sys.orig_argv}:
    code = 1
    try:
        from support.fake_worker import main

        code = main()
    except BaseException:  # noqa: BLE001 - this is the process's main
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)  # SystemExit is not to be had while Python still starts
