/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The one record format of sync pipe and attach pipe: a JSON object with a number and perhaps a
 * text, and a newline. Callers match it byte for byte, blanks included.
 *
 * A record is one packet, and callers read with a buffer of 4096 bytes: what is longer would reach
 * them without its end and be no JSON at all. So the text is cut to fit, behind a whole escape and
 * a whole character. Bytes that are no UTF-8 go out as they are; they count as one character each.
 *
 * No record may ever be longer than SYNCMSG_MAX, whatever a runtime has written to its stderr.
 */

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "wire/syncmsg.h"

#define ESCAPE_MAX 6 /* \u001f */

static const char message_start[] = ", \"message\": \"", message_end[] = "\"", record_end[] = "}\n";

#define RESERVED (sizeof message_end - 1 + sizeof record_end - 1)

static size_t escape(char out[ESCAPE_MAX], unsigned char c) {
        static const char hex[] = "0123456789abcdef", plain[] = "\"\\/\b\f\n\r\t", letters[] = "\"\\/bfnrt";
        const char *found = c != 0 ? strchr(plain, c) : NULL;

        out[0] = '\\';
        if (found) {
                out[1] = letters[found - plain];
                return 2;
        }
        if (c >= 0x20 && c != 0x7f) {
                out[0] = (char)c;
                return 1;
        }
        memcpy(out + 1, "u00", 3);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
        return ESCAPE_MAX;
}

/* As much of the text as fits into @size bytes. */
static size_t syncmsg_put_text(char *out, size_t size, const char *text, size_t n_text) {
        size_t used = 0;

        for (size_t taken = 0; taken < n_text;) {
                size_t n_character = utf8_length(text + taken, n_text - taken), n_out;
                char escaped[ESCAPE_MAX];
                const char *from = text + taken;

                n_out = n_character;
                if (n_character <= 1) { /* or none */
                        n_character = 1;
                        n_out = escape(escaped, (unsigned char)*from);
                        from = escaped;
                }
                if (n_out > size - used)
                        break;
                memcpy(out + used, from, n_out);
                used += n_out;
                taken += n_character;
        }
        return used;
}

static char *syncmsg_put(char *out, const char *text, size_t n) {
        memcpy(out, text, n);
        return out + n;
}

/**
 * syncmsg_format() - one record, newline included
 * @out: no NUL behind it
 * @key: of our own choosing, at most SYNCMSG_KEY_MAX letters that need no escape
 * @text: hostile; cut to fit
 * @n_text: 0 for a record without a message
 *
 * Return: length of the record.
 */
size_t syncmsg_format(char out[SYNCMSG_MAX],
                      const char *key,
                      int64_t value,
                      const char *text,
                      size_t n_text) {
        char *p = out;

        assert(strlen(key) <= SYNCMSG_KEY_MAX);

        p += snprintf(out, SYNCMSG_MAX, "{\"%.*s\": %" PRId64, SYNCMSG_KEY_MAX, key, value);
        if (n_text > 0) {
                p = syncmsg_put(p, message_start, sizeof message_start - 1);
                p += syncmsg_put_text(p, SYNCMSG_MAX - RESERVED - (size_t)(p - out), text, n_text);
                p = syncmsg_put(p, message_end, sizeof message_end - 1);
        }
        p = syncmsg_put(p, record_end, sizeof record_end - 1);
        return (size_t)(p - out);
}
