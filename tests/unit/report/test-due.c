/* SPDX-License-Identifier: Apache-2.0 */

/* A command that was given is run by one of two monitors, and comes out as it went in. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "clean.h"
#include "io/proc.h"
#include "report/due.h"

#define CID "0123456789ab"
#define MONITOR 4242

typedef struct Place {
        char dir[64];
        int fd;
        DueId listed[8];
        size_t n_listed;
} Place;

static void place_init(Place *p) {
        *p = (Place){ .dir = "/tmp/test-due-XXXXXX" };
        cr_assert_not_null(mkdtemp(p->dir));
        p->fd = fd_open_directory(p->dir);
        cr_assert_geq(p->fd, 0);
}

static void place_done(Place *p) {
        due_remove(p->fd, CID, MONITOR, DUE_GIVEN);
        due_remove(p->fd, CID, MONITOR, DUE_TAKEN);
        fd_close_many(&p->fd, 1);
        cr_assert_eq(rmdir(p->dir), 0, "something is left: %s", strerror(errno));
}

static void on_id(void *userdata, const DueId *id) {
        Place *p = userdata;

        cr_assert_lt(p->n_listed, ELEMENTS(p->listed));
        p->listed[p->n_listed++] = *id;
}

static size_t list(Place *p, int fd) {
        p->n_listed = 0;
        due_list(fd, on_id, p);
        return p->n_listed;
}

static char *argv_of[] = { (char *)"/bin/echo", (char *)"", (char *)"two words\nand \\ more",
                           (char *)"\303\244=\377", NULL };
static char *envp_of[] = { (char *)"PATH=/bin", (char *)"EMPTY=", (char *)"LINES=a\nb", NULL };
static const DueId some = { .at_usec = 12345678901ULL, .giver = 42, .giver_boot_usec = 987654321 };

static void expect_words(char *const *words, char *const *expected) {
        for (; *expected; expected++, words++) {
                cr_assert_not_null(*words);
                cr_assert_str_eq(*words, *expected);
        }
        cr_assert_null(*words);
}

CleanTest(due, command_comes_out_as_it_went_in) {
        DueCommand c;
        int given, taken;
        Place p;

        place_init(&p);
        cr_assert_eq(due_open(p.fd, CID, MONITOR, DUE_GIVEN, false), -ENOENT);
        given = due_open(p.fd, CID, MONITOR, DUE_GIVEN, true);
        taken = due_open(p.fd, CID, MONITOR, DUE_TAKEN, true);
        cr_assert(given >= 0 && taken >= 0);
        cr_assert_eq(due_give(given, &some, &(DueCommand){ .argv = argv_of, .envp = envp_of }), 0);
        cr_assert_eq(list(&p, given), 1);
        cr_assert_eq(p.listed[0].at_usec, some.at_usec);
        cr_assert_eq(p.listed[0].giver, some.giver);
        cr_assert_eq(p.listed[0].giver_boot_usec, some.giver_boot_usec);
        cr_assert_eq(due_close(p.fd, CID, MONITOR), -ENOTEMPTY);

        cr_assert_eq(due_take(given, taken, &some), 0);
        cr_assert_eq(list(&p, given), 0);
        cr_assert_eq(due_delete(given, &some), -ENOENT, "it cannot be taken back any more");
        cr_assert_eq(due_read(taken, &some, &c), 0);
        expect_words(c.argv, argv_of);
        expect_words(c.envp, envp_of);
        due_command_done(&c);
        cr_assert_eq(due_delete(taken, &some), 0);

        cr_assert_eq(due_close(p.fd, CID, MONITOR), 0);
        cr_assert_lt(due_give(given, &some, &(DueCommand){ .argv = argv_of, .envp = envp_of }), 0,
                     "the folder is gone");
        (void)close(given);
        (void)close(taken);
        place_done(&p);
}

CleanTest(due, command_that_is_taken_back_cannot_be_taken) {
        int given, taken;
        Place p;

        place_init(&p);
        given = due_open(p.fd, CID, MONITOR, DUE_GIVEN, true);
        taken = due_open(p.fd, CID, MONITOR, DUE_TAKEN, true);
        cr_assert_eq(due_give(given, &some, &(DueCommand){ .argv = argv_of, .envp = envp_of }), 0);
        cr_assert_eq(due_delete(given, &some), 0);
        cr_assert_eq(due_take(given, taken, &some), -ENOENT);
        (void)close(given);
        (void)close(taken);
        place_done(&p);
}

CleanTest(due, what_is_no_command_is_left_out) {
        static const char *const names[] = { "1.2.3.00abcd", "x.2.3", "1.2", "1..3", "1.-2.3", ".1.2.3" };
        static const char *const texts[] = { "", "nonsense", "scopemon-state 1\nvariable=A=b\nend\n",
                                             "scopemon-state 1\nargument=x\n" };
        DueCommand c;
        int given;
        Place p;

        place_init(&p);
        given = due_open(p.fd, CID, MONITOR, DUE_GIVEN, true);
        for (size_t i = 0; i < ELEMENTS(names); i++)
                cr_assert_eq(fd_write_file_atomic(given, names[i], "", 0, 0600), 0);
        cr_assert_eq(list(&p, given), 0);
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                cr_assert_eq(fd_write_file_atomic(given, "00000000012345678901.42.987654321", texts[i],
                                                  strlen(texts[i]), 0600),
                             0);
                cr_assert_eq(due_read(given, &some, &c), -EBADMSG, "text %zu", i);
        }
        (void)unlinkat(given, ".1.2.3", 0);
        (void)close(given);
        place_done(&p);
}

CleanTest(due, id_that_is_no_name_has_no_folder) {
        Place p;

        place_init(&p);
        cr_assert_eq(due_open(p.fd, "../x", MONITOR, DUE_GIVEN, true), -EINVAL);
        cr_assert_eq(due_open(p.fd, "", MONITOR, DUE_GIVEN, true), -EINVAL);
        place_done(&p);
}

CleanTest(due, command_that_may_be_taken_back_is_not_removed) {
        DueId ours = some;
        ProcStat us;
        int given;
        Place p;

        place_init(&p);
        given = due_open(p.fd, CID, MONITOR, DUE_GIVEN, true);
        cr_assert_eq(proc_stat(getpid(), &us), 0);
        ours.giver = getpid();
        ours.giver_boot_usec = us.boot_usec;
        cr_assert_eq(due_give(given, &ours, &(DueCommand){ .argv = argv_of, .envp = envp_of }), 0);
        cr_assert_eq(due_give(given, &some, &(DueCommand){ .argv = argv_of, .envp = envp_of }), 0);
        due_remove(p.fd, CID, MONITOR, DUE_GIVEN);
        cr_assert_eq(list(&p, given), 1);
        cr_assert_eq(due_delete(given, &ours), 0);
        cr_assert_eq(due_close(p.fd, CID, MONITOR), 0);
        (void)close(given);
        place_done(&p);
}

CleanTest(due, monitors_of_one_container_have_folders_of_their_own) {
        int taken;
        Place p;

        place_init(&p);
        taken = due_open(p.fd, CID, MONITOR + 1, DUE_TAKEN, true);
        cr_assert_eq(due_give(taken, &some, &(DueCommand){ .argv = argv_of, .envp = envp_of }), 0);
        (void)close(taken);
        due_remove(p.fd, CID, MONITOR, DUE_TAKEN);
        due_inherit(p.fd, CID, MONITOR + 1, MONITOR);
        cr_assert_lt(due_open(p.fd, CID, MONITOR + 1, DUE_TAKEN, false), 0);
        taken = due_open(p.fd, CID, MONITOR, DUE_TAKEN, false);
        cr_assert_eq(list(&p, taken), 1);
        (void)close(taken);
        place_done(&p);
}
