/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Words for tests/faults: output that can be checked byte for byte however it was cut, and bad manners. A header only
 * because fake-runtime is built from one file, like fake-target.h, which includes it.
 */

#define PIECE_MAX 6000U /* bytes written at once; lines are cut anywhere */

typedef struct Numbered {
        char *data;
        size_t n, done;
        uint32_t random;
} Numbered;

/* All lines of one stream, as write_lines() makes them; @seed tells the streams apart. */
static void numbered_make(Numbered *s, unsigned n_lines, size_t size, uint32_t seed) {
        s->data = malloc(n_lines * size + 1);
        if (!s->data)
                die("no memory");
        s->n = n_lines * size;
        s->random = seed;
        for (unsigned i = 0; i < n_lines; i++) {
                char *line = s->data + i * size, head[32];

                for (size_t k = 18; k < size - 1; k++) {
                        s->random = s->random * 1664525U + 1013904223U;
                        line[k] = (char)('a' + (s->random >> 16) % 26);
                }
                (void)snprintf(head, sizeof head, "%08u %08x ", i, checksum(line + 18, size - 19));
                (void)memcpy(line, head, 18);
                line[size - 1] = '\n';
        }
}

static size_t numbered_write(Numbered *s, int fd) {
        size_t n = s->n - s->done;

        s->random = s->random * 1664525U + 1013904223U;
        if (n > 1 + (s->random >> 8) % PIECE_MAX)
                n = 1 + (s->random >> 8) % PIECE_MAX;
        write_all(fd, s->data + s->done, n);
        s->done += n;
        return n;
}

/* numbered=LINES,SIZE,RATE,STREAMS: on stdout (1), stderr (2) or both (3), RATE bytes a second (0: no limit). */
static void write_numbered(const Word *word) {
        Numbered streams[2] = { { 0 }, { 0 } };
        unsigned long n[4] = { 0, 0, 0, 3 };
        unsigned long long since_pause = 0;
        char *p = word->value;

        for (size_t i = 0; i < 4 && *p; i++) {
                n[i] = strtoul(p, &p, 10);
                p += *p == ',';
        }
        if (n[1] < 20 || n[1] > LINE_MAX_SIZE)
                die("lines of %lu bytes", n[1]);
        for (unsigned i = 0; i < 2; i++)
                if (n[3] & (1U << i))
                        numbered_make(&streams[i], (unsigned)n[0], n[1], i + 1);
        while (streams[0].done < streams[0].n || streams[1].done < streams[1].n) {
                for (int i = 0; i < 2; i++)
                        since_pause += numbered_write(&streams[i], STDOUT_FILENO + i);
                if (n[2] > 0 && since_pause > n[2] / 200) {
                        (void)usleep((useconds_t)(since_pause * 1000000U / n[2]));
                        since_pause = 0;
                }
        }
}

/* Children that end and are left to whoever inherits them. */
static void make_zombies(int n) {
        for (int i = 0; i < n; i++) {
                pid_t pid = fork();

                if (pid == 0)
                        _exit(i % 256);
                if (pid < 0)
                        (void)usleep(1000);
        }
}

/*
 * A fork bomb, for @ms: whatever place for a process becomes free is taken within a moment. Returns when there is none
 * for the first time.
 */
static void explode(int ms) {
        struct rlimit limit;
        struct timespec now;
        long long end;

        if (getuid() == 0 || getrlimit(RLIMIT_NPROC, &limit) < 0 || limit.rlim_cur > 100)
                die("no limit of processes");
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        end = now.tv_sec * 1000LL + now.tv_nsec / 1000000 + ms;
        for (pid_t pid; (pid = fork()) >= 0;) {
                if (pid > 0)
                        continue;
                for (int fd = 0; fd < 3; fd++)
                        (void)close(fd);
                while (now.tv_sec * 1000LL + now.tv_nsec / 1000000 < end) {
                        if (fork() < 0)
                                (void)usleep(1000);
                        (void)clock_gettime(CLOCK_MONOTONIC, &now);
                }
                _exit(0);
        }
}

/* Junk of a runtime: more than anybody wants to hold. */
static void write_junk(int fd, int n) {
        static char junk[4096];

        (void)memset(junk, 'j', sizeof junk);
        for (; n > 0; n -= (int)sizeof junk)
                write_all(fd, junk, n < (int)sizeof junk ? (size_t)n : sizeof junk);
}

/* Returns false if the word is none of these. */
static bool do_fault(const Word *w) {
        if (strcmp(w->key, "numbered") == 0)
                write_numbered(w);
        else if (strcmp(w->key, "zombies") == 0)
                make_zombies(number(w));
        else if (strcmp(w->key, "bomb") == 0)
                explode(number(w));
        else if (strcmp(w->key, "ignore") == 0)
                (void)signal(number(w), SIG_IGN);
        else
                return false;
        return true;
}
