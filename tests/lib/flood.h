/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Output for tests/bench: as much as a target can write, or so many lines a second. A header only because fake-runtime
 * is built from one file, like fake-target.h, which includes it.
 */

#include <time.h>

#define FLOOD_CHUNK 65536U

static uint64_t flood_now(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* "A,B,C" into @n numbers; those that are missing are 0. */
static void flood_numbers(const Word *word, unsigned long long *numbers, size_t n) {
        const char *p = word->value;

        for (size_t i = 0; i < n; i++) {
                char *end = NULL;

                numbers[i] = p ? strtoull(p, &end, 10) : 0;
                p = end && *end == ',' ? end + 1 : NULL;
        }
}

/* BYTES,SIZE,CHUNK: lines of SIZE bytes (0: no newline at all), CHUNK bytes in each write (0: 64 KiB). */
static void flood(int fd, const Word *word) {
        static char data[2 * FLOOD_CHUNK + LINE_MAX_SIZE];
        unsigned long long n[3];
        size_t period, chunk, at = 0;

        flood_numbers(word, n, 3);
        period = n[1] > 0 && n[1] <= LINE_MAX_SIZE ? (size_t)n[1] : FLOOD_CHUNK;
        chunk = n[2] > 0 && n[2] <= FLOOD_CHUNK ? (size_t)n[2] : FLOOD_CHUNK;
        for (size_t i = 0; i < sizeof data; i++)
                data[i] = n[1] > 0 && i % period == period - 1 ? '\n' : (char)('a' + i % 23);
        for (unsigned long long done = 0; done < n[0];) {
                size_t now = n[0] - done < chunk ? (size_t)(n[0] - done) : chunk;

                write_all(fd, data + at, now);
                at = (at + now) % period;
                done += now;
        }
}

/* Both streams at once. */
static void flood_both(const Word *word) {
        pid_t pid = fork();

        flood(pid == 0 ? STDERR_FILENO : STDOUT_FILENO, word);
        if (pid == 0)
                _exit(EXIT_SUCCESS);
        (void)waitpid(pid, NULL, 0);
}

/* LINES,SIZE,RATE: so many a second, each in a write of its own. */
static void flood_paced(int fd, const Word *word) {
        static char line[LINE_MAX_SIZE];
        unsigned long long n[3];
        uint64_t begin = flood_now();

        flood_numbers(word, n, 3);
        if (n[1] == 0 || n[1] > sizeof line || n[2] == 0)
                die("paced=%s", word->value);
        (void)memset(line, 'p', n[1]);
        line[n[1] - 1] = '\n';
        for (unsigned long long i = 0; i < n[0]; i++) {
                uint64_t due = begin + i * 1000000000U / n[2];
                struct timespec t = { .tv_sec = (time_t)(due / 1000000000U),
                                      .tv_nsec = (long)(due % 1000000000U) };

                (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
                write_all(fd, line, (size_t)n[1]);
        }
}

/* Returns false if the word is none of these. How long it took, in ns, goes into the file that flood-report= names. */
static bool do_flood(const Runtime *r, const Word *w) {
        const Word *report = find_word(r, "flood-report");
        uint64_t begin = flood_now();
        char text[32];
        int fd, n;

        if (strcmp(w->key, "flood") == 0)
                flood(STDOUT_FILENO, w);
        else if (strcmp(w->key, "flood-both") == 0)
                flood_both(w);
        else if (strcmp(w->key, "paced") == 0)
                flood_paced(STDOUT_FILENO, w);
        else
                return false;
        if (!report)
                return true;
        n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)(flood_now() - begin));
        fd = open(report->value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (fd >= 0) {
                write_all(fd, text, (size_t)n);
                (void)close(fd);
        }
        return true;
}
