/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clean.h"
#include "core/store.h"

CleanTest(store, every_descriptor_has_a_name_of_its_own) {
        char names[_SAVED_FD_MAX + 2][NOTIFY_STORE_NAME_MAX];
        size_t n = 0;

        for (SavedFd i = 0; i < _SAVED_FD_MAX; i++)
                store_name(names[n++], i);
        store_client_name(names[n++], 0);
        store_client_name(names[n++], ATTACH_SLOTS - 1);
        for (size_t i = 0; i < n; i++) {
                cr_assert_gt(strlen(names[i]), 0);
                cr_assert_null(strchr(names[i], ':'), "which would end it");
                cr_assert_neq(strncmp(names[i], STORE_STATE, strlen(STORE_STATE)), 0);
                for (size_t j = 0; j < i; j++)
                        cr_assert_str_neq(names[i], names[j]);
        }
}

CleanTest(store, mark_lies_beside_the_first_directory_of_the_unit) {
        char *path;

        cr_assert_eq(setenv("RUNTIME_DIRECTORY", "/run/oci/web:/run/more", 1), 0);
        cr_assert_eq(store_mark_path(&path), 0);
        cr_assert_str_eq(path, "/run/oci/web.stored");
        free(path);
        cr_assert_eq(unsetenv("RUNTIME_DIRECTORY"), 0);
        cr_assert_eq(store_mark_path(&path), -ENOENT);
}

CleanTest(store, process_that_was_given_nothing_starts_afresh) {
        char *argv[] = { (char *)"scopemon", (char *)"--service", NULL };
        bool resumed = true;

        (void)unsetenv("LISTEN_FDS");
        cr_assert_eq(store_resume(2, argv, argv + 2, &resumed), 0);
        cr_assert(!resumed);
}
