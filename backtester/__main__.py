"""`python -m backtester` is `bt`."""

import sys

from backtester.cli.main import main

sys.exit(main())
