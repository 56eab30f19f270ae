"""`python -m heliograph` is the command."""

import sys

from heliograph.cli.main import main

sys.exit(main())
