/* SPDX-License-Identifier: Apache-2.0 */

/* The cage holds here, too; and a proof that finds nothing is none: it has to see what is missing. */

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/process.h"
#include "clean.h"
#include "sandbox/proof.h"

#define NO_NAMESPACE 98
#define NO_PROOF 99

static bool kernel_has_scopes(void) {
        return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 6;
}

CleanTest(proof, a_worker_can_do_nothing_of_it) {
        unsigned could = PROOF_NONE;

        cr_assert_eq(proof_try(&could), 0);
        if (geteuid() != 0)
                could &= ~(unsigned)PROOF_NAME;
        cr_assert_eq(could, kernel_has_scopes() ? 0U : (unsigned)PROOF_ABSTRACT);
}

static bool write_file(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static int drop_capabilities(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

        return (int)syscall(SYS_capset, &header, none);
}

/* Neither a capability nor a namespace to have it in. Never returns. */
static void try_without(void) {
        unsigned could;

        if (unshare(CLONE_NEWUSER) < 0 || !write_file("/proc/self/uid_map", "0 0 1") ||
            !write_file("/proc/sys/user/max_user_namespaces", "0") || drop_capabilities() < 0)
                process_exit(NO_NAMESPACE);
        process_exit(proof_try(&could) < 0 ? NO_PROOF : (int)could);
}

CleanTest(proof, a_root_directory_that_is_not_its_own_is_seen) {
        ProcessStatus status;
        pid_t pid;

        if (geteuid() != 0)
                cr_skip_test("maps root");
        if (process_fork(&pid) == 0)
                try_without();
        while (process_peek(pid, &status) == 0)
                ;
        cr_assert_eq(process_reap(pid), 0);
        if (status.code == NO_NAMESPACE)
                cr_skip_test("there are no user namespaces");
        cr_assert_eq(status.code, PROOF_NAME | (kernel_has_scopes() ? 0 : PROOF_ABSTRACT));
}
