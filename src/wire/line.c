/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A stream's bytes into lines. Every byte of output passes here, so the newline is looked for with
 * memchr() and nothing is copied: a Line points into the window it was found in.
 *
 * A line ends for one of three reasons: its newline is there, it is longer than a record may be, or
 * the bytes end and whoever has them will not wait for more. The last two make a partial line. A
 * line of exactly the greatest length is not cut, since its newline is probably the next byte.
 *
 * The bytes are the container's: a NUL or a CR is content like any other and must never change where a line ends. Nor
 * does half a letter, but where a line is cut for its length it is not cut inside of one: up to three bytes less are
 * taken then. What lies behind the cut has no say, so that the same bytes are always cut in the same places.
 */

#include <assert.h>
#include <string.h>

#include "base/utf8.h"
#include "wire/line.h"

/**
 * line_next() - the first line of @data
 * @max: longest text of one line, 1 or more; what is longer comes in partial lines of that length, or up to three
 * bytes less
 * @tail: what is known of the bytes after @n
 * @ret: written only if there is a line; the caller goes on behind its n_taken bytes
 *
 * Return: false if @data holds no line that could be taken now, because it is empty or because
 * TAIL_MORE says that waiting pays.
 */
bool line_next(const char *data, size_t n, size_t max, StreamTail tail, Line *ret) {
        const char *newline;
        size_t n_text;

        assert(max > 0);

        if (n == 0)
                return false;

        newline = memchr(data, '\n', n <= max ? n : max + 1);
        if (newline) {
                n_text = (size_t)(newline - data);
                *ret = (Line){ .text = data, .n_text = n_text, .n_taken = n_text + 1 };
                return true;
        }
        if (n <= max && tail == TAIL_MORE)
                return false;

        n_text = n;
        if (n > max) {
                size_t unfinished = utf8_unfinished(data, max);

                n_text = unfinished < max ? max - unfinished : max;
        }
        *ret = (Line){ .text = data, .n_text = n_text, .n_taken = n_text, .partial = true };
        return true;
}

static char *line_put_number(char *out, unsigned digits, unsigned long value) {
        for (unsigned i = digits; i > 0; i--) {
                out[i - 1] = (char)('0' + value % 10);
                value /= 10;
        }
        return out + digits;
}

static char *put_field(char *out, unsigned digits, long value, char separator) {
        out = line_put_number(out, digits, value < 0 ? 0 : (unsigned long)value);
        *out = separator;
        return out + 1;
}

/**
 * line_format_stamp() - local time with nine digits of fraction and a numeric offset, as RFC 3339
 * has it
 * @out: LINE_STAMP_SIZE bytes, no NUL behind them
 * @tm: the time, tm_gmtoff the zone
 * @nsec: its fraction
 *
 * The length never changes, not even for a clock that is thousands of years off: readers count the
 * bytes.
 */
void line_format_stamp(char out[LINE_STAMP_SIZE], const struct tm *tm, long nsec) {
        long minutes = (tm->tm_gmtoff < 0 ? -tm->tm_gmtoff : tm->tm_gmtoff) / 60;
        char *p = out;

        p = put_field(p, 4, tm->tm_year + 1900L, '-');
        p = put_field(p, 2, tm->tm_mon + 1L, '-');
        p = put_field(p, 2, tm->tm_mday, 'T');
        p = put_field(p, 2, tm->tm_hour, ':');
        p = put_field(p, 2, tm->tm_min, ':');
        p = put_field(p, 2, tm->tm_sec, '.');
        p = put_field(p, 9, nsec, tm->tm_gmtoff < 0 ? '-' : '+');
        p = put_field(p, 2, minutes / 60, ':');
        p = line_put_number(p, 2, (unsigned long)(minutes % 60));
        assert(p == out + LINE_STAMP_SIZE);
}

/**
 * line_format_prefix() - what stands before the text of a k8s-file record, blank at the end
 * included
 * @out: LINE_PREFIX_SIZE bytes, no NUL behind them
 * @stamp: from line_format_stamp()
 */
void line_format_prefix(char out[LINE_PREFIX_SIZE],
                        const char stamp[LINE_STAMP_SIZE],
                        StreamId stream,
                        bool partial) {
        static const char texts[_STREAM_MAX][2][LINE_PREFIX_SIZE - LINE_STAMP_SIZE + 1] = {
                [STREAM_STDOUT] = { " stdout F ", " stdout P " },
                [STREAM_STDERR] = { " stderr F ", " stderr P " },
        };

        assert(stream < _STREAM_MAX);
        memcpy(out, stamp, LINE_STAMP_SIZE);
        memcpy(out + LINE_STAMP_SIZE, texts[stream][partial], LINE_PREFIX_SIZE - LINE_STAMP_SIZE);
}
