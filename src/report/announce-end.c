/* SPDX-License-Identifier: Apache-2.0 */

/* The last entry about a container: how it ended, and what has become of its output. */

#include <stdio.h>
#include <string.h>

#include "report/announce-end.h"
#include "scopemon/protocol.h"

static void describe_end(char *text, size_t size, const AnnounceEnd *end) {
        const ProcessStatus *s = end->status;

        if (end->timed_out)
                (void)snprintf(text, size, "was killed after its timeout");
        else if (!s->known)
                (void)snprintf(text, size, "exited, status unknown");
        else if (s->signal != 0)
                (void)snprintf(text, size, "was killed by SIG%s%s%s", sigabbrev_np(s->signal) ?: "?",
                               s->dumped ? ", dumped core" : "", end->oom ? ", out of memory" : "");
        else
                (void)snprintf(text, size, "exited with status %d%s", s->code,
                               end->oom ? ", after an out-of-memory kill" : "");
}

/**
 * announce_end_of() - how a container ended
 */
void announce_end_of(const EntryOf *of, const AnnounceEnd *end) {
        char how[128];
        Entry e;

        describe_end(how, sizeof how, end);
        /* journald counts by priority: what has suppressed the container's output would suppress this as well */
        entry_begin(&e, of, SCOPEMON_MESSAGE_ENDED, end->suppressed > 0 || end->orphaned ? 4 : 6);
        entry_add(&e, "MESSAGE", "Container %s %s%s", entry_name(of), how,
                  !end->orphaned    ? ""
                  : end->exit_files ? "; its monitor was killed, the exit command was not run"
                                    : "; its monitor was killed, the exit was not reported");
        if (end->status->known)
                entry_add(&e, SCOPEMON_FIELD_EXIT_STATUS, "%d", end->status->code);
        if (end->status->signal != 0) {
                entry_add(&e, SCOPEMON_FIELD_EXIT_SIGNAL, "%d", end->status->signal);
                entry_add(&e, SCOPEMON_FIELD_CORE_DUMPED, "%s", end->status->dumped ? "yes" : "no");
        }
        entry_add(&e, SCOPEMON_FIELD_OOM, "%s", end->orphaned ? "unknown" : end->oom ? "yes" : "no");
        entry_add(&e, SCOPEMON_FIELD_TIMED_OUT, "%s", end->timed_out ? "yes" : "no");
        entry_add(&e, SCOPEMON_FIELD_DURATION, "%llu", (unsigned long long)end->usec);
        entry_add(&e, SCOPEMON_FIELD_BYTES, "%llu", (unsigned long long)end->bytes);
        entry_add(&e, SCOPEMON_FIELD_BYTES_LOST, "%llu", (unsigned long long)end->lost);
        entry_add(&e, SCOPEMON_FIELD_SUPPRESSED, "%llu", (unsigned long long)end->suppressed);
        (void)entry_send(&e);
}
