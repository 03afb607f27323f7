/* SPDX-License-Identifier: Apache-2.0 */

/* An answer reaches the process it is for, with the pid of who says so, and costs nothing where nobody waits. */

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/process.h"
#include "clean.h"
#include "io/answer.h"

CleanTest(answer, reaches_who_waits) {
        char text[ANSWER_MAX], longer[2 * ANSWER_MAX];
        pid_t from = 0;
        pid_t number, another;
        int fd, other;

        cr_assert_eq(answer_listen(&fd, &number), 0);
        cr_assert_eq(answer_listen(&other, &another), 0, "the name is nobody's to take away");
        cr_assert_neq(number, another);
        (void)close(other);
        cr_assert_eq(answer_receive(fd, &from, text), 0);
        cr_assert(answer_is_awaited(number));
        answer_send(number, "well done");
        cr_assert_eq(answer_receive(fd, &from, text), 1);
        cr_assert_str_eq(text, "well done");
        cr_assert_eq(from, getpid());

        memset(longer, 'x', sizeof longer);
        longer[sizeof longer - 1] = 0;
        answer_send(number, longer);
        cr_assert_eq(answer_receive(fd, &from, text), 1);
        cr_assert_eq(strlen(text), ANSWER_MAX - 1);
        (void)close(fd);
}

CleanTest(answer, tells_who_has_sent_it) {
        char text[ANSWER_MAX];
        pid_t child, from = 0, number;
        int fd;

        cr_assert_eq(answer_listen(&fd, &number), 0);
        if (process_fork(&child) == 0) {
                answer_send(number, "from a child");
                process_exit(0);
        }
        cr_assert_eq(waitpid(child, NULL, 0), child);
        cr_assert_eq(answer_receive(fd, &from, text), 1);
        cr_assert_eq(from, child);
        (void)close(fd);
}

CleanTest(answer, nobody_need_be_there) {
        answer_send(getpid(), "nobody listens");
        cr_assert_not(answer_is_awaited(getpid()));
}
