/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where an error is born it is fail(r), where it passes it is relay(r); both return r, a negative errno. */

#ifdef __clang_analyzer__ /* it does not look into another file to see that they return what they get */
#define fail(r) (r)
#define relay(r) (r)
#else
#define fail(r) error_trail((r), "born", __FILE__, __LINE__, __func__)
#define relay(r) error_trail((r), "passed", __FILE__, __LINE__, __func__)
#endif

int error_trail(int r, const char *what, const char *file, int line, const char *function);
