/* SPDX-License-Identifier: Apache-2.0 */

#include "clean.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "sink/logfile.h"

static unsigned n_random;

ssize_t getrandom(void *out, size_t n, unsigned flags) {
        n_random++;
        return syscall(SYS_getrandom, out, n, flags);
}

typedef struct Place {
        char path[64];
        int dir;
} Place;

static void begin(Place *p) {
        (void)umask(022);
        (void)strcpy(p->path, "/tmp/test-logfile-XXXXXX");
        cr_assert_not_null(mkdtemp(p->path));
        p->dir = fd_open_directory(p->path);
        cr_assert_geq(p->dir, 0);
}

static void end(Place *p) {
        static const char *const names[] = { "log",     "log.1",   "log.2", "log.3",
                                             "log.new", "log.tmp", "moved", "link" };

        for (size_t i = 0; i < ELEMENTS(names); i++)
                (void)unlinkat(p->dir, names[i], 0);
        (void)unlinkat(p->dir, "sub", AT_REMOVEDIR);
        (void)close(p->dir);
        cr_assert_eq(rmdir(p->path), 0, "unexpected files are left");
}

static void expect(const Place *p, const char *name, const char *text) {
        _cleanup_free_ char *got = NULL;

        if (!text) {
                cr_assert_neq(faccessat(p->dir, name, F_OK, AT_SYMLINK_NOFOLLOW), 0, "%s", name);
                return;
        }
        cr_assert_eq(fd_read_file(p->dir, name, 1000, &got, NULL), 0, "%s", name);
        cr_assert_str_eq(got, text);
}

static mode_t mode_of(const Place *p, const char *name) {
        struct stat st;

        cr_assert_eq(fstatat(p->dir, name, &st, 0), 0);
        return st.st_mode & 07777;
}

static int make_named(const Place *p, const char *name, const char *text) {
        int fd = logfile_open(p->dir, name);

        cr_assert_geq(fd, 0);
        cr_assert_eq(fd_write_full(fd, text, strlen(text)), 0);
        return fd;
}

static int make(const Place *p, const char *text) {
        return make_named(p, "log", text);
}

CleanTest(logfile, file_is_made_0640_and_continued) {
        Place p;

        begin(&p);
        (void)close(make(&p, "one\n"));
        (void)close(make(&p, "two\n"));
        expect(&p, "log", "one\ntwo\n");
        cr_assert_eq(mode_of(&p, "log"), 0640);
        end(&p);
}

CleanTest(logfile, replacement_is_empty_and_leaves_a_renamed_file_alone) {
        int fd, new_fd;
        Place p;

        begin(&p);
        fd = make(&p, "one\n");
        cr_assert_eq(renameat(p.dir, "log", p.dir, "moved"), 0);
        new_fd = logfile_replace(p.dir, "log");
        cr_assert_geq(new_fd, 0);
        cr_assert_eq(n_random, 0, "the first name needs none");
        expect(&p, "log", "");
        expect(&p, "moved", "one\n");
        expect(&p, "log.tmp", NULL);
        cr_assert_eq(mode_of(&p, "log"), 0640);
        cr_assert_eq(fd_write_full(new_fd, "two\n", 4), 0);
        expect(&p, "log", "two\n");
        (void)close(fd);
        (void)close(new_fd);

        new_fd = logfile_replace(p.dir, "log");
        expect(&p, "log", "");
        (void)close(new_fd);
        end(&p);
}

/* Somebody else can write in the directory. */
CleanTest(logfile, replacement_follows_no_link_and_needs_no_certain_name) {
        int fd, new_fd;
        Place p;

        begin(&p);
        fd = make(&p, "one\n");
        (void)close(make_named(&p, "moved", "precious\n"));
        cr_assert_eq(symlinkat("moved", p.dir, "log.tmp"), 0);
        new_fd = logfile_replace(p.dir, "log");
        cr_assert_geq(new_fd, 0);
        expect(&p, "moved", "precious\n");
        expect(&p, "log", "");
        (void)close(new_fd);

        cr_assert_eq(mkdirat(p.dir, "log.tmp", 0700), 0);
        new_fd = logfile_replace(p.dir, "log");
        cr_assert_geq(new_fd, 0);
        expect(&p, "log", "");
        (void)close(new_fd);
        (void)close(fd);
        cr_assert_eq(unlinkat(p.dir, "log.tmp", AT_REMOVEDIR), 0);
        end(&p);
}

static void rotate(const Place *p, unsigned n_old, const char *const texts[], size_t n_texts) {
        int fd = make(p, texts[0]);

        for (size_t i = 1; i < n_texts; i++) {
                int new_fd = -1;

                cr_assert_eq(logfile_rotate(p->dir, "log", fd, n_old, &new_fd), 0);
                cr_assert_eq(fd_write_full(new_fd, texts[i], strlen(texts[i])), 0);
                (void)close(fd);
                fd = new_fd;
        }
        (void)close(fd);
}

CleanTest(logfile, exactly_so_many_old_files_are_kept) {
        static const char *const texts[] = { "a", "b", "c", "d", "e" };

        for (unsigned n_old = 1; n_old <= 3; n_old++) {
                Place p;

                begin(&p);
                rotate(&p, n_old, texts, ELEMENTS(texts));
                expect(&p, "log", "e");
                expect(&p, "log.1", "d");
                expect(&p, "log.2", n_old >= 2 ? "c" : NULL);
                expect(&p, "log.3", n_old >= 3 ? "b" : NULL);
                expect(&p, "log.4", NULL);
                expect(&p, "log.new", NULL);
                cr_assert_eq(mode_of(&p, "log"), 0640);
                end(&p);
        }
}

CleanTest(logfile, remains_of_a_rotation_cut_short_do_not_stop_the_next) {
        int fd, new_fd = -1;
        Place p;

        begin(&p);
        fd = make(&p, "one");
        cr_assert_eq(symlinkat("log", p.dir, "log.new"), 0);
        cr_assert_eq(logfile_rotate(p.dir, "log", fd, 1, &new_fd), 0);
        expect(&p, "log", "");
        expect(&p, "log.1", "one");
        (void)close(fd);
        (void)close(new_fd);
        end(&p);
}

CleanTest(logfile, moved_file_is_not_rotated) {
        int fd, new_fd = -1;
        Place p;

        begin(&p);
        fd = make(&p, "one");
        cr_assert_eq(renameat(p.dir, "log", p.dir, "moved"), 0);
        cr_assert_eq(logfile_rotate(p.dir, "log", fd, 1, &new_fd), LOGFILE_MOVED);
        expect(&p, "log", NULL);
        (void)close(make(&p, "other"));
        cr_assert_eq(logfile_rotate(p.dir, "log", fd, 1, &new_fd), LOGFILE_MOVED);
        expect(&p, "log", "other");
        cr_assert_eq(new_fd, -1);
        (void)close(fd);
        end(&p);
}

CleanTest(logfile, symlink_is_not_rotated) {
        int fd, new_fd = -1;
        Place p;

        begin(&p);
        cr_assert_eq(symlinkat("moved", p.dir, "log"), 0);
        fd = make(&p, "one");
        cr_assert_eq(logfile_rotate(p.dir, "log", fd, 1, &new_fd), LOGFILE_NOT_REGULAR);
        expect(&p, "moved", "one");
        (void)close(fd);
        end(&p);
}

CleanTest(logfile, locked_file_is_not_rotated) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        int fd, new_fd = -1, status, ready[2];
        char byte;
        pid_t pid;
        Place p;

        begin(&p);
        fd = make(&p, "one");
        cr_assert_eq(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
                if (fcntl(fd, F_SETLK, &lock) < 0 || write(ready[1], "x", 1) != 1)
                        _exit(1);
                (void)pause();
        }
        cr_assert_eq(read(ready[0], &byte, 1), 1);
        cr_assert_eq(logfile_rotate(p.dir, "log", fd, 1, &new_fd), LOGFILE_LOCKED);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        cr_assert_eq(logfile_rotate(p.dir, "log", fd, 1, &new_fd), 0);
        (void)close(ready[0]);
        (void)close(ready[1]);
        (void)close(fd);
        (void)close(new_fd);
        end(&p);
}

CleanTest(logfile, failed_rotation_leaves_the_log_in_its_place) {
        int fd, new_fd = -1;
        Place p;

        begin(&p);
        fd = make(&p, "one");
        cr_assert_eq(mkdirat(p.dir, "log.1", 0755), 0);
        cr_assert_lt(logfile_rotate(p.dir, "log", fd, 1, &new_fd), 0);
        expect(&p, "log", "one");
        expect(&p, "log.new", NULL);
        cr_assert_eq(unlinkat(p.dir, "log.1", AT_REMOVEDIR), 0);
        (void)close(fd);
        end(&p);
}

CleanTest(logfile, directories_not_on_the_list_are_refused) {
        char *none[] = { (char *)"/nonexistent", (char *)"/usr" };
        char link[96], longer[96];
        char *allowed[3] = { none[0], link, NULL };
        int sub;
        Place p;

        begin(&p);
        cr_assert_eq(mkdirat(p.dir, "sub", 0755), 0);
        sub = openat(p.dir, "sub", O_PATH | O_CLOEXEC);
        (void)snprintf(link, sizeof link, "%s/link", p.path);
        (void)snprintf(longer, sizeof longer, "%s/su", p.path);
        cr_assert_eq(symlinkat(p.path, p.dir, "link"), 0);

        cr_assert_eq(logfile_check_directory(p.dir, NULL, 0), 0);
        cr_assert_eq(logfile_check_directory(p.dir, none, 2), LOGFILE_NOT_ALLOWED);
        cr_assert_eq(logfile_check_directory(p.dir, allowed, 2), 0, "through a symlink");
        cr_assert_eq(logfile_check_directory(sub, allowed, 2), 0, "below one");
        allowed[1] = longer;
        cr_assert_eq(logfile_check_directory(sub, allowed, 2), LOGFILE_NOT_ALLOWED, "half a name");
        allowed[1] = (char *)"/";
        cr_assert_eq(logfile_check_directory(sub, allowed, 2), 0);
        cr_assert_str_not_empty(logfile_refusal(LOGFILE_NOT_ALLOWED));
        (void)close(sub);
        end(&p);
}
