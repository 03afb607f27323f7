# SPDX-License-Identifier: Apache-2.0
"""The parts of tests/bench: stage (one monitor at work), metrics (what is measured), report (the table)."""
