/* SPDX-License-Identifier: Apache-2.0 */

/* The last entry is sent for every way to end; what is in it is for the contract's tests. */

#include "base/cleanup.h"
#include "clean.h"
#include "report/announce-end.h"

CleanTest(announce_end, waits_for_nobody) {
        const EntryOf of = { .cid = "0123", .name = "web" };
        const ProcessStatus statuses[] = { { .known = false },
                                           { .known = true, .code = 3 },
                                           { .known = true, .code = 137, .signal = 9 },
                                           { .known = true, .code = 139, .signal = 11, .dumped = true },
                                           { .known = true, .code = 255, .signal = 127 } };

        for (size_t i = 0; i < ELEMENTS(statuses); i++)
                for (unsigned bits = 0; bits < 16; bits++)
                        announce_end_of(&of, &(AnnounceEnd){ .status = &statuses[i],
                                                             .oom = bits & 1,
                                                             .timed_out = bits & 2,
                                                             .orphaned = bits & 4,
                                                             .exit_files = bits & 8 });
}
