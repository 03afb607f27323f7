/* SPDX-License-Identifier: Apache-2.0 */

/* Every function is there under its own name, and a library that is not ours to use is said to be none. */

#include <errno.h>
#include <string.h>

#include "clean.h"
#include "systemd/libsystemd.h"

CleanTest(libsystemd, functions_are_those_of_the_library) {
        sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_NO_REPLY, "x");
        sd_bus *bus = NULL;
        Libsystemd sd;

        cr_assert_eq(libsystemd_load(&sd), 0);
        cr_assert_eq(sd.bus_error_has_name(&error, SD_BUS_ERROR_NO_REPLY), 1);
        cr_assert_eq(sd.bus_error_has_name(&error, SD_BUS_ERROR_TIMEOUT), 0);
        cr_assert_eq(sd.bus_new(&bus), 0);
        cr_assert_not_null(bus);
        cr_assert_null(sd.bus_close_unref(bus));
        cr_assert_eq(sd.journal_set_data_threshold(NULL, 1), -EINVAL, "the last of them");
}

CleanTest(libsystemd, absent_library_is_told_from_a_wrong_one) {
        Libsystemd sd, before;

        memset(&sd, 0x55, sizeof sd);
        before = sd;
        cr_assert_eq(libsystemd_load_from("libsystemd-of-nobody.so.0", &sd), -ELIBACC);
        cr_assert_eq(libsystemd_load_from("libc.so.6", &sd), -ELIBBAD);
        cr_assert_eq(memcmp(&sd, &before, sizeof sd), 0, "written only on success");
}
