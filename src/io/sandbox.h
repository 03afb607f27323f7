/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Our own system call filter. */

int sandbox_enter(void);
const char *sandbox_call_name(int number);
