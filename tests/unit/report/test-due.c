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
#define DEAD 4194305 /* more than there can be */

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

static int give_to(Place *p, pid_t monitor, DueFolder folder, const DueId *id) {
        int fd = due_open(p->fd, CID, monitor, folder, true);

        cr_assert_eq(due_give(fd, id, &(DueCommand){ .argv = argv_of, .envp = envp_of }), 0);
        return fd;
}

static DueId of_ours(void) {
        DueId id = some;
        ProcStat us;

        cr_assert_eq(proc_stat(getpid(), &us), 0);
        id.giver = getpid();
        id.giver_boot_usec = us.boot_usec;
        return id;
}

CleanTest(due, commands_of_a_dead_monitor_are_adopted) {
        const pid_t dead = DEAD;
        DueId ours = of_ours(), early = { .at_usec = 5, .giver = dead, .giver_boot_usec = 1 };
        DueCommand c;
        int taken, given;
        Place p;

        place_init(&p);
        (void)close(give_to(&p, dead, DUE_TAKEN, &some));
        (void)close(give_to(&p, dead, DUE_TAKEN, &early));
        given = give_to(&p, dead, DUE_GIVEN, &ours);
        (void)close(
                give_to(&p, dead, DUE_GIVEN, &(DueId){ .at_usec = 7, .giver = dead, .giver_boot_usec = 1 }));

        cr_assert_eq(due_adopt(p.fd, "another", getpid(), 1000, on_id, &p), 3);
        cr_assert_eq(p.n_listed, 3);
        for (size_t i = 0; i < 3; i++)
                cr_assert(p.listed[i].at_usec == 1000 || p.listed[i].at_usec == 5 ||
                          p.listed[i].at_usec == 7);
        cr_assert_lt(due_open(p.fd, CID, dead, DUE_TAKEN, false), 0, "the folder is gone");
        taken = due_open(p.fd, "another", getpid(), DUE_TAKEN, false);
        cr_assert_eq(list(&p, taken), 3);
        cr_assert_eq(due_read(taken, &early, &c), 0);
        expect_words(c.argv, argv_of);
        due_command_done(&c);
        (void)close(taken);

        cr_assert_eq(list(&p, given), 1, "its giver may take it back");
        cr_assert_eq(due_delete(given, &ours), 0);
        cr_assert_eq(due_adopt(p.fd, "another", getpid(), 1000, on_id, &p), 0);
        cr_assert_lt(due_open(p.fd, CID, dead, DUE_GIVEN, false), 0);
        (void)close(given);
        due_remove(p.fd, "another", getpid(), DUE_TAKEN);
        place_done(&p);
}

CleanTest(due, commands_are_not_adopted_while_somebody_may_run_them) {
        const pid_t dead = DEAD;
        char mark[64];
        Place p;

        place_init(&p);
        (void)snprintf(mark, sizeof mark, "%s.%d", CID, dead);
        cr_assert_eq(fd_write_file_atomic(p.fd, mark, "", 0, 0600), 0);
        (void)close(give_to(&p, dead, DUE_TAKEN, &some));
        cr_assert_eq(due_adopt(p.fd, "another", getpid(), 1000, on_id, &p), 0, "the container may run");
        cr_assert_eq(unlinkat(p.fd, mark, 0), 0);
        (void)close(give_to(&p, getpid(), DUE_TAKEN, &some));
        cr_assert_eq(due_adopt(p.fd, "another", getpid(), 1000, on_id, &p), 1,
                     "that of a live one is its own");
        due_remove(p.fd, CID, getpid(), DUE_TAKEN);
        due_remove(p.fd, "another", getpid(), DUE_TAKEN);
        place_done(&p);
}

CleanTest(due, folders_of_dead_monitors_are_told_from_other_files) {
        static const char *const left[] = { "x.4194305.due", "x.4194305.given", "a.b.4194305.given" };
        static const char *const others[] = { "x.4194305",
                                              "x.4194305.x",
                                              "x.-4194305.due",
                                              ".4194305.due",
                                              "4194305.due",
                                              "x.due",
                                              "due",
                                              "",
                                              ".",
                                              "..",
                                              "x.1.due" };

        for (size_t i = 0; i < ELEMENTS(left); i++)
                cr_assert(due_is_left(left[i]), "%s", left[i]);
        for (size_t i = 0; i < ELEMENTS(others); i++)
                cr_assert_not(due_is_left(others[i]), "%s", others[i]);
}
