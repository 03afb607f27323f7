/* SPDX-License-Identifier: Apache-2.0 */

/* The pid file that a runtime has written. A pid is one that a process can have, and stands there. */

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "fuzz.h"
#include "oci/runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char path[64], digits[32], *text = fuzz_string(data, size);
        pid_t pid = -1;
        int fd, r;

        fd = memfd_create("pid", MFD_CLOEXEC);
        if (fd < 0 || fd_write_full(fd, data, size) < 0)
                abort();
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        r = runtime_read_pid(path, &pid);
        fuzz_claim(r >= 0);
        fuzz_claim((r == 0) == (pid > 0));
        if (r == 0) {
                (void)snprintf(digits, sizeof digits, "%d", pid);
                fuzz_claim(strstr(text, digits));
        }
        (void)close(fd);
        free(text);
        return 0;
}
