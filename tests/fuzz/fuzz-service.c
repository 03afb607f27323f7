/* SPDX-License-Identifier: Apache-2.0 */

/* How a container wants to be stopped, as its image says: signal and time, separated by a NUL byte. */

#include <signal.h>

#include "fuzz.h"
#include "service/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size);
        size_t n = strlen(text);
        ServiceStop stop = { 0 };

        (void)service_stop_of(text, n < size ? text + n + 1 : NULL, 90000000, &stop);
        fuzz_claim(stop.signal > 0 && stop.signal <= SIGRTMAX);
        free(text);
        return 0;
}
