/* SPDX-License-Identifier: Apache-2.0 */

/* The text of /proc/PID/stat, whose name is the process's to choose. The name that is found lies in the text. */

#include "fuzz.h"
#include "io/proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size), *before = fuzz_string(data, size);
        ProcStat stat = { 0 };

        if (proc_parse_stat(text, &stat) == 0) {
                fuzz_claim(memchr(stat.comm, 0, sizeof stat.comm));
                fuzz_claim(strstr(before, stat.comm));
                fuzz_claim(strchr(before, stat.state) && stat.state != 0);
                fuzz_claim(stat.zombie == (stat.state == 'Z' || stat.state == 'X'));
        }
        free(before);
        free(text);
        return 0;
}
