/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Only allowed lines come out, no more bytes than went in, and what has been filtered passes the
 * filter unchanged: the keeper's second look must not find anything. The list stands here once
 * more, so that it cannot grow unseen.
 */

#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "wire/notifymsg.h"

static bool is_one_of(const char *line, size_t n) {
        static const char *const whole[] = { "READY=1",    "RELOADING=1",      "STOPPING=1",
                                             "WATCHDOG=1", "WATCHDOG=trigger", "RESTART_RESET=1",
                                             "FDSTORE=1",  "FDSTOREREMOVE=1",  "FDPOLL=0" };
        static const char *const prefixes[] = {
                "STATUS=",      "ERRNO=", "BUSERROR=", "MONOTONIC_USEC=", "EXTEND_TIMEOUT_USEC=",
                "EXIT_STATUS=", "FDNAME="
        };

        for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
                if (n == strlen(whole[i]) && memcmp(line, whole[i], n) == 0)
                        return true;
        for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
                if (n >= strlen(prefixes[i]) && memcmp(line, prefixes[i], strlen(prefixes[i])) == 0)
                        return true;
        return false;
}

/* What is taken out is not left, and written anew it is what it was. */
static void check_store(const char *filtered, size_t n) {
        char *rest = malloc(n + 1), text[NOTIFYMSG_STORE_MAX];
        NotifymsgStore store, again;
        size_t n_rest, n_text;

        if (!rest)
                abort();
        memcpy(rest, filtered, n);
        n_rest = notifymsg_take_store(rest, n, &store);
        fuzz_claim(n_rest <= n);
        fuzz_claim(!notifymsg_says(rest, n_rest, "FDSTORE=1") && !notifymsg_says(rest, n_rest, "FDPOLL=0"));
        fuzz_claim(notifymsg_filter(rest, n_rest, rest) == n_rest);
        n_text = notifymsg_write_store(&store, text);
        fuzz_claim(n_text <= sizeof text && notifymsg_filter(text, n_text, text) == n_text);
        fuzz_claim(notifymsg_take_store(text, n_text, &again) == 0);
        fuzz_claim(n_text == 0 || (again.store == store.store && strcmp(again.name, store.name) == 0));
        free(rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *out = malloc(size + 1), *again = malloc(size + 1);
        bool extended = false;
        size_t n, n_line;

        if (!out || !again)
                abort();
        n = notifymsg_filter((const char *)data, size, out);
        fuzz_claim(n <= size);
        for (const char *line = out; n > 0 && line <= out + n; line += n_line + 1) {
                const char *end = memchr(line, '\n', (size_t)(out + n - line));

                n_line = (size_t)((end ? end : out + n) - line);
                fuzz_claim(is_one_of(line, n_line));
                if (n_line == strlen("READY=1") && memcmp(line, "READY=1", n_line) == 0)
                        fuzz_claim(notifymsg_says(out, n, "READY=1"));
                if (n_line > strlen(NOTIFYMSG_EXTEND) + 1 &&
                    memcmp(line, NOTIFYMSG_EXTEND "9", strlen(NOTIFYMSG_EXTEND) + 1) == 0)
                        extended = true;
        }
        fuzz_claim(extended || notifymsg_number(out, n, NOTIFYMSG_EXTEND) <= 8999999999999999999U);
        fuzz_claim(!memchr(out, '\r', n) && !memchr(out, 0, n));

        fuzz_claim(notifymsg_filter(out, n, again) == n);
        fuzz_claim(memcmp(out, again, n) == 0);

        check_store(out, n);

        memcpy(again, data, size); /* in place */
        fuzz_claim(notifymsg_filter(again, size, again) == n);
        fuzz_claim(memcmp(out, again, n) == 0);
        free(out);
        free(again);
        return 0;
}
