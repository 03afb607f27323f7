/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whoever prints as fast as it can, but line by line, has us woken for every few lines, which costs both sides more
 * than the lines do. Such a stream is left alone for a moment, in which its pipe fills.
 *
 * Only in a flood: a leaky bucket tells, so that a line now and then, thousands a second, or a burst of what a pipe
 * holds is read at once. Never for so long that the writer would have to wait for room: a quarter of the pipe at the
 * speed of the last read, since we wake up late on a busy machine, and no time at all if that has brought a good part of
 * a pipe already. A terminal has no room to speak of and is always read at once.
 */

#include <fcntl.h>

#include "io/gather.h"

#define LEAK 8U              /* bytes per microsecond */
#define FLOOD 65536U         /* bytes: so full is the bucket in a flood */
#define BRIM (FLOOD + 4096U) /* and no fuller, so that half a millisecond of silence ends it */
#define LARGE 32768U         /* bytes: a good part of any pipe */
#define MIN_USEC 20U         /* is not worth the call */

static void fill(Gather *g, uint64_t now, size_t n) {
        uint64_t usec = now - g->at;

        g->at = now;
        g->level = usec < g->level / LEAK ? g->level - usec * LEAK : 0;
        g->level = n < BRIM - g->level ? g->level + n : BRIM;
}

/**
 * gather_usec() - how long may this stream be left alone?
 * @g: zeroed at first, one for each stream
 * @fd: the stream
 * @now: when it was read, by the monotonic clock in microseconds
 * @n: bytes read
 *
 * Return: microseconds, GATHER_MAX_USEC at most; 0 for not at all.
 */
uint64_t gather_usec(Gather *g, int fd, uint64_t now, size_t n) {
        uint64_t usec = now - g->at, size;
        int r;

        fill(g, now, n);
        if (g->level < FLOOD || n == 0 || n >= LARGE)
                return 0;
        r = fcntl(fd, F_GETPIPE_SZ);
        size = r > 0 ? (uint64_t)r : 0;
        if (n >= size / 2)
                return 0;
        usec = usec * (size / 4) / n;
        if (usec > GATHER_MAX_USEC)
                usec = GATHER_MAX_USEC;
        return usec < MIN_USEC ? 0 : usec;
}
