/* SPDX-License-Identifier: Apache-2.0 */

/* Which lines of a container reach the service manager, and that no others do. */

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/notifymsg.h"

CleanTest(notifymsg, only_listed_lines_pass_in_their_order) {
        static const struct {
                const char *in;
                const char *out;
        } cases[] = {
                /* contract 11.1 */
                { "READY=1\nSTATUS=hi\nMAINPID=77\nWATCHDOG=1", "READY=1\nSTATUS=hi\nWATCHDOG=1" },
                { "READY=1", "READY=1" },
                { "READY=1\n", "READY=1" },
                { "RELOADING=1", "RELOADING=1" },
                { "STOPPING=1", "STOPPING=1" },
                { "WATCHDOG=1", "WATCHDOG=1" },
                { "WATCHDOG=trigger", "WATCHDOG=trigger" },
                { "STATUS=", "STATUS=" },
                { "STATUS=a b=c", "STATUS=a b=c" },
                { "ERRNO=2", "ERRNO=2" },
                { "BUSERROR=org.x", "BUSERROR=org.x" },
                { "MONOTONIC_USEC=1", "MONOTONIC_USEC=1" },
                { "RELOADING=1\r\nMONOTONIC_USEC=1\r", "RELOADING=1\nMONOTONIC_USEC=1" },
                { "WATCHDOG=1\nREADY=1\nREADY=1", "WATCHDOG=1\nREADY=1\nREADY=1" },
                { "\n\r\nREADY=1\n\n", "READY=1" },
                { "EXTEND_TIMEOUT_USEC=30000000", "EXTEND_TIMEOUT_USEC=30000000" },
                { "RESTART_RESET=1\nEXIT_STATUS=0", "RESTART_RESET=1\nEXIT_STATUS=0" },
                { "FDSTORE=1\nFDNAME=x y\nFDSTOREREMOVE=1\nFDPOLL=0",
                  "FDSTORE=1\nFDNAME=x y\nFDSTOREREMOVE=1\nFDPOLL=0" },
                /* not quite */
                { "", "" },
                { "\n", "" },
                { "READY=0", "" },
                { "READY=11", "" },
                { "READY=1 ", "" },
                { " READY=1", "" },
                { "ready=1", "" },
                { "WATCHDOG=2", "" },
                { "WATCHDOG_USEC=1", "" },
                { "STATUS", "" },
                { "XSTATUS=1", "" },
                { "MAINPID=1", "" },
                { "FDSTORE=0\nFDNAME=\nFDNAME=a:b\nFDNAME=a\tb\nFDSTOREREMOVE=2\nFDPOLL=1", "" },
                { "NOTIFYACCESS=all\nBARRIER=1\nMAINPIDFDID=1\nMAINPIDFD=1", "" },
                { "EXTEND_TIMEOUT_USEC=\nEXTEND_TIMEOUT_USEC=-1\nEXTEND_TIMEOUT_USEC=1s", "" },
                { "EXTEND_TIMEOUT_USEC=18446744073709551615", "" }, /* "infinity" */
                { "RESTART_RESET=0\nEXIT_STATUS=x", "" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                size_t n = strlen(cases[i].in);
                char out[128];

                n = notifymsg_filter(cases[i].in, n, out);
                cr_assert_eq(n, strlen(cases[i].out), "\"%s\"", cases[i].in);
                cr_assert_eq(memcmp(out, cases[i].out, n), 0, "\"%s\"", cases[i].in);
        }
}

CleanTest(notifymsg, message_ends_at_its_first_nul) {
        static const char message[] = "READY=1\0\nSTATUS=x";
        char out[sizeof message];

        cr_assert_eq(notifymsg_filter(message, sizeof message, out), strlen("READY=1"));
        cr_assert_eq(notifymsg_filter("STATUS=a\0b", 10, out), strlen("STATUS=a"));
}

CleanTest(notifymsg, filters_in_place) {
        char text[] = "A=1\nREADY=1\nB=2\nSTATUS=long text\nC=3\nWATCHDOG=1";
        static const char expected[] = "READY=1\nSTATUS=long text\nWATCHDOG=1";

        cr_assert_eq(notifymsg_filter(text, strlen(text), text), sizeof expected - 1);
        cr_assert_eq(memcmp(text, expected, sizeof expected - 1), 0);
}

CleanTest(notifymsg, length_is_respected) {
        char out[16];

        cr_assert_eq(notifymsg_filter("READY=1\nREADY=1", 6, out), 0);
        cr_assert_eq(notifymsg_filter("READY=11", 7, out), 7);
}

CleanTest(notifymsg, line_is_found_whole_or_not_at_all) {
        static const struct {
                const char *text;
                bool says;
        } cases[] = {
                { "READY=1", true },
                { "STATUS=x\nREADY=1", true },
                { "READY=1\nSTATUS=x", true },
                { "STATUS=READY=1", false },
                { "READY=1x", false },
                { "XREADY=1", false },
                { "", false },
                { "\n", false },
                { "STATUS=\n\nREADY=1\n", true },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_eq(notifymsg_says(cases[i].text, strlen(cases[i].text), "READY=1"), cases[i].says,
                             "case %zu", i);
        cr_assert_not(notifymsg_says("READY=1", 6, "READY=1"));
}

CleanTest(notifymsg, number_of_the_last_such_line_counts) {
        static const struct {
                const char *text;
                uint64_t number;
        } cases[] = {
                { "", 0 },
                { "READY=1", 0 },
                { NOTIFYMSG_EXTEND "17", 17 },
                { NOTIFYMSG_EXTEND "17\nREADY=1\n" NOTIFYMSG_EXTEND "9999999999999999999",
                  9999999999999999999U },
                { "STATUS=" NOTIFYMSG_EXTEND "17", 0 },
                { NOTIFYMSG_EXTEND, 0 },
                { NOTIFYMSG_EXTEND "1x", 0 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                cr_assert_eq(notifymsg_number(cases[i].text, strlen(cases[i].text), NOTIFYMSG_EXTEND),
                             cases[i].number, "case %zu", i);
}

CleanTest(notifymsg, what_is_about_descriptors_is_taken_out_and_written_anew) {
        static const struct {
                const char *in, *rest, *store;
        } cases[] = {
                { "READY=1", "READY=1", "" },
                { "FDSTORE=1", "", "FDSTORE=1" },
                { "FDNAME=a\nREADY=1\nFDPOLL=0\nSTATUS=x\nFDSTORE=1", "READY=1\nSTATUS=x",
                  "FDSTORE=1\nFDPOLL=0\nFDNAME=a" },
                { "FDSTOREREMOVE=1\nFDNAME=a\nFDNAME=b", "", "FDSTOREREMOVE=1\nFDNAME=a" },
                { "FDSTOREREMOVE=1", "", "" },
                { "FDNAME=a\nFDPOLL=0", "", "" },
                { "FDSTORE=1\nFDSTOREREMOVE=1\nFDNAME=a", "", "FDSTORE=1\nFDSTOREREMOVE=1\nFDNAME=a" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[128], out[NOTIFYMSG_STORE_MAX];
                NotifymsgStore store;
                size_t n;

                n = notifymsg_filter(cases[i].in, strlen(cases[i].in), text);
                n = notifymsg_take_store(text, n, &store);
                cr_assert(n == strlen(cases[i].rest) && memcmp(text, cases[i].rest, n) == 0, "case %zu", i);
                n = notifymsg_write_store(&store, out);
                cr_assert(n == strlen(cases[i].store) && memcmp(out, cases[i].store, n) == 0, "case %zu", i);
        }
}

CleanTest(notifymsg, longest_name_of_a_descriptor) {
        char text[512], out[NOTIFYMSG_STORE_MAX];
        NotifymsgStore store;
        size_t n;

        for (int length = 255; length <= 256; length++) {
                n = (size_t)snprintf(text, sizeof text, "FDSTORE=1\nFDPOLL=0\nFDSTOREREMOVE=1\nFDNAME=%0*d",
                                     length, 0);
                n = notifymsg_filter(text, n, text);
                cr_assert_eq(notifymsg_take_store(text, n, &store), 0);
                cr_assert_eq(strlen(store.name), length == 255 ? 255 : 0);
                cr_assert_leq(notifymsg_write_store(&store, out), sizeof out);
        }
}
