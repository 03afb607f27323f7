/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Driving a loop in a test: until a condition holds or a deadline passes, never for a guessed time. */

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "event/event.h"

static inline uint64_t event_test_now(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

/* Runs the loop until @condition; false if @seconds have passed without it. */
#define event_run_until(event, seconds, condition)                                                           \
        ({                                                                                                   \
                uint64_t _end = event_test_now() + (uint64_t)(seconds)*1000000U;                             \
                                                                                                             \
                while (!(condition) && event_test_now() < _end)                                              \
                        cr_assert_geq(event_turn((event), 10000), 0);                                        \
                (condition);                                                                                 \
        })

/* Runs the loop until nothing is pending. */
static inline void event_run_idle(Event *event) {
        while (event_turn(event, 0) > 0)
                ;
}
