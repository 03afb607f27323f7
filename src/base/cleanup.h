/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Ownership, spelled out: what a local owns stands at its declaration, giving it away is TAKE_*(). */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((__cleanup__(f)))

static inline void cleanup_close(int *fd) {
        if (*fd >= 0) {
                int saved = errno;

                (void)close(*fd); /* nobody can do anything about a failing close */
                errno = saved;
        }
}

static inline void cleanup_free(void *p) {
        free(*(void **)p);
}

#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_free_ _cleanup_(cleanup_free)

#define TAKE_FD(fd)                                                                                          \
        ({                                                                                                   \
                int *_fdp = &(fd), _fdv = *_fdp;                                                             \
                                                                                                             \
                *_fdp = -1;                                                                                  \
                _fdv;                                                                                        \
        })

#define TAKE_PTR(p)                                                                                          \
        ({                                                                                                   \
                __typeof__(p) *_pp = &(p), _pv = *_pp;                                                       \
                                                                                                             \
                *_pp = NULL;                                                                                 \
                _pv;                                                                                         \
        })

/* Declares NAMEp() for use as _cleanup_(NAMEp), from a destructor that returns NULL. */
#define DEFINE_CLEANUP(Type, name)                                                                           \
        static inline void name##p(Type **p) {                                                               \
                if (*p)                                                                                      \
                        *p = name(*p);                                                                       \
        }

#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
