/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * CleanTest: a Criterion test that also fails when its body leaves a descriptor or memory behind. The checks stand in
 * the body since Criterion lets leaks pass, and failures in .fini too.
 */

#include <criterion/criterion.h>
#include <dirent.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#define find_leaks() __lsan_do_recoverable_leak_check()
#else
#define find_leaks() 0
#endif

static inline int count_open_fds(void) {
        DIR *dir = opendir("/proc/self/fd");
        int n = 0;

        while (readdir(dir))
                n++;
        (void)closedir(dir);
        return n;
}

#define CleanTest(suite, name, ...)                                                                          \
        static void suite##_##name(void);                                                                    \
        Test(suite, name, .timeout = 60, ##__VA_ARGS__) {                                                    \
                int before = count_open_fds();                                                               \
                                                                                                             \
                suite##_##name();                                                                            \
                cr_assert_eq(count_open_fds(), before, "descriptors leaked");                                \
                cr_assert_eq(find_leaks(), 0, "memory leaked");                                              \
        }                                                                                                    \
        static void suite##_##name(void)
