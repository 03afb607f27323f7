/* SPDX-License-Identifier: Apache-2.0 */

/* The state that one image hands to the next: what is understood is whole, and says the same when it is sealed again. */

#include <unistd.h>

#include "base/cleanup.h"
#include "fuzz.h"
#include "upgrade/saved.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char wrong[STATE_NAME_MAX] = "";
        Saved *s = NULL;
        int r;

        r = saved_decode((const char *)data, size, &s, wrong);
        fuzz_claim(memchr(wrong, 0, sizeof wrong));
        fuzz_claim((r == 0) == !!s);
        if (s) {
                (void)saved_is_whole(s);
                saved_free(s);
        }
        return 0;
}
