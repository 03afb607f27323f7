/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Round trip: a record fits into a packet, is one JSON object on one line, and its text, read back
 * here by a reader that knows the escapes from their definition, is the input or as much of its
 * beginning as had room.
 */

#include <string.h>

#include "fuzz.h"
#include "wire/syncmsg.h"

static const char start[] = "{\"exit_code\": -1, \"message\": \"";

static unsigned read_hex(const char *p) {
        unsigned value = 0;

        for (int i = 0; i < 4; i++) {
                static const char digits[] = "0123456789abcdef";
                const char *digit = p[i] ? strchr(digits, p[i]) : NULL;

                fuzz_claim(digit);
                value = value * 16 + (unsigned)(digit - digits);
        }
        return value;
}

/* One character of the text at *p; *p is moved behind it. */
static uint8_t read_character(const char **p, const char *end) {
        static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
        const char *letter;
        uint8_t c = (uint8_t) * (*p)++;

        fuzz_claim(c >= 0x20 && c != 0x7f && c != '"' && c != '/');
        if (c != '\\')
                return c;
        fuzz_claim(*p < end);
        c = (uint8_t) * (*p)++;
        if (c == 'u') {
                unsigned value;

                fuzz_claim(end - *p >= 4);
                value = read_hex(*p);
                fuzz_claim(value < 0x80);
                *p += 4;
                return (uint8_t)value;
        }
        letter = c ? strchr(letters, c) : NULL;
        fuzz_claim(letter);
        return (uint8_t)meant[letter - letters];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *record = malloc(SYNCMSG_MAX);
        const char *p, *end;
        size_t n, used = 0;

        if (!record)
                abort();
        n = syncmsg_format(record, "exit_code", -1, (const char *)data, size);
        fuzz_claim(n <= SYNCMSG_MAX);
        if (size == 0) {
                fuzz_claim(n == strlen("{\"exit_code\": -1}\n"));
                free(record);
                return 0;
        }

        fuzz_claim(n >= sizeof start + 2 && memcmp(record, start, sizeof start - 1) == 0);
        fuzz_claim(memcmp(record + n - 3, "\"}\n", 3) == 0);
        for (p = record + sizeof start - 1, end = record + n - 3; p < end; used++) {
                fuzz_claim(used < size);
                fuzz_claim(read_character(&p, end) == data[used]);
        }
        fuzz_claim(used == size || n > SYNCMSG_MAX - 6);
        free(record);
        return 0;
}
