/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The worker's cage. It parses what hostile containers and clients send; whoever takes it over shall find a process
 * that can move bytes between the descriptors it holds, and nothing else: no capability, no new privilege, no file
 * to open by name, no program to run, no socket to make or to connect. What it can make are its own container's exit
 * files.
 *
 * It sends datagrams to the journal, by a call that takes a name from memory, where no filter can see it. So names must
 * lead nowhere: those of files by another root directory (root.c), abstract ones by Landlock (Linux 6.12).
 *
 * The policy is the tables in sandbox-filter.c, which the build has made a program for the kernel of.
 *
 * Never for the keeper: its children, the container among them, would inherit it.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/process.h"
#include "sandbox/sandbox.h"

#define SCOPE_ABSTRACT_SOCKETS 1
#define SCOPE_SIGNALS 2

static const struct {
        int number;
        const char *name;
} forbidden[] = {
#include "sandbox-names.inc"
};

static int drop_capabilities(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* they follow the next call anyway */
        return syscall(SYS_capset, &header, none) < 0 ? fail(-errno) : 0;
}

/* What is in its memory stays there; and the one place where it may make files is that of exit files. */
static int forbid_core(void) {
        const struct rlimit none = { 0, 0 };

        return setrlimit(RLIMIT_CORE, &none) < 0 ? fail(-errno) : 0;
}

/* A directory that is not there, or a kernel that wants none of this: then there will be no such file. */
static void allow_files(int ruleset, const ExitFiles *files) {
        for (ExitFileId i = 0; i < _EXIT_FILE_MAX; i++) {
                const char *path = files->names[EXIT_FILE_NAME_DIR + i];
                _cleanup_close_ int dir = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
                struct landlock_path_beneath_attr rule = {
                        .allowed_access = LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_WRITE_FILE,
                        .parent_fd = dir,
                };

                if (dir >= 0)
                        (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
        }
}

/*
 * No path may be opened. Kernels without Landlock have the filter, which says the same. Nothing that was made outside may
 * be reached by an abstract name, or by a signal.
 */
static int forbid_paths(const ExitFiles *files) {
        const struct {
                uint64_t handled_access_fs, handled_access_net, scoped; /* headers are older */
        } all = { .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
                  .scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS };
        _cleanup_close_ int fd = -1;

        fd = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
        if (fd < 0 && errno == E2BIG)
                fd = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all.handled_access_fs, 0);
        if (fd < 0)
                return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : fail(-errno);
        allow_files(fd, files);
        return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? fail(-errno) : 0;
}

/* Of what there is not, one that nothing can be at. */
static uint64_t sandbox_address_of(const ExitFiles *files, ExitFileName name) {
        return files->names[name] ? (uintptr_t)files->names[name] : UINT64_MAX;
}

static int load_filter(const ExitFiles *files) {
#define LOW(name) (uint32_t) sandbox_address_of(files, name)
#define HIGH(name) (uint32_t)(sandbox_address_of(files, name) >> 32)
        const struct sock_filter filter[] = {
#include "sandbox-filter.inc"
        };
        const struct sock_fprog program = { .len = ELEMENTS(filter), .filter = (struct sock_filter *)filter };

        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? fail(-errno) : 0;
}

/**
 * sandbox_enter() - confine this process for good
 * @files: what exit_file_write() may make from now on; all zero for nothing
 *
 * To be called after root_leave(), which needs capabilities.
 *
 * Return: 0 or a negative errno; then it is not to go on.
 */
int sandbox_enter(const ExitFiles *files) {
        int r;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return fail(-errno);
        r = drop_capabilities();
        if (r >= 0)
                r = forbid_core();
        if (r < 0)
                return relay(r);
        r = forbid_paths(files);
        if (r < 0)
                return relay(r);
        return load_filter(files);
}

/**
 * sandbox_call_name() - the name of a system call that ends who tries it: what the handler of SIGSYS may say
 *
 * Return: the name, "?" for any other call.
 */
const char *sandbox_call_name(int number) {
        for (size_t i = 0; i < ELEMENTS(forbidden); i++)
                if (forbidden[i].number == number)
                        return forbidden[i].name;
        return "?";
}
