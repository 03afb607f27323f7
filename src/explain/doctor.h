/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* "scopemon doctor": is this host set up so that containers can be in their units? */

int doctor_run(int argc, char *argv[]);
