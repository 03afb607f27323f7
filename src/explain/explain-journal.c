/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the journal tells of a container: our own entries by their MESSAGE_ID, Podman's events, and the fields of the
 * container's output, which both monitors send.
 *
 * Who may write to the journal may write anything but _UID=: only what root, the container's owner or we ourselves
 * have sent counts.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "explain/explain-internal.h"
#include "scopemon/protocol.h"

#define ENTRIES_MAX (10 * EXPLAIN_ENDED_MAX) /* read for them: containers are started again and again */
#define MATCH_SIZE (EXPLAIN_NAME_SIZE + 64)

/* Go to the newest entry that has both, from somebody who is to be believed. @kind: NULL for any. */
static bool find_entry(const ExplainHost *h,
                       uid_t owner,
                       const char *kind,
                       const char *field,
                       const char *value) {
        char match[MATCH_SIZE], owner_match[32], own_match[32];
        const char *matches[] = {
                match, own_match, owner_match, h->user ? kind : "_UID=0", h->user ? NULL : kind, NULL
        };

        if (!h->journal || !value[0])
                return false;
        (void)snprintf(match, sizeof match, "%s=%s", field, value);
        (void)snprintf(owner_match, sizeof owner_match, "_UID=%u", owner);
        (void)snprintf(own_match, sizeof own_match, "_UID=%u", geteuid());
        return journal_reader_find(h->journal, matches) == 0;
}

/**
 * explain_journal_find() - a container that does not run any more
 * @is_unit: @word is a unit's name: of the container's caller
 * @ids: the newest is added, if there is one
 *
 * Return: 0 or a negative errno.
 */
int explain_journal_find(const ExplainHost *h, const char *word, bool is_unit, ExplainIds *ids) {
        const struct {
                const char *field, *id;
                bool unit;
        } ways[] = {
                { SCOPEMON_FIELD_CALLER_UNIT, SCOPEMON_FIELD_OWN_ID, true },
                { h->user ? SCOPEMON_FIELD_USER_UNIT : SCOPEMON_FIELD_UNIT, SCOPEMON_FIELD_OWN_ID, true },
                { SCOPEMON_FIELD_OWN_NAME, SCOPEMON_FIELD_OWN_ID, false },
                { SCOPEMON_FIELD_OWN_ID, SCOPEMON_FIELD_OWN_ID, false },
                { SCOPEMON_FIELD_NAME, SCOPEMON_FIELD_ID_FULL, false },
                { SCOPEMON_FIELD_ID_FULL, SCOPEMON_FIELD_ID_FULL, false },
                { SCOPEMON_FIELD_ID, SCOPEMON_FIELD_ID_FULL, false },
                { "PODMAN_NAME", "PODMAN_ID", false },
                { "PODMAN_ID", "PODMAN_ID", false },
        };

        char id[EXPLAIN_NAME_SIZE], newest[EXPLAIN_NAME_SIZE] = "";
        uint64_t usec = 0;

        for (size_t i = 0; strlen(word) < EXPLAIN_NAME_SIZE && i < ELEMENTS(ways); i++) {
                if ((ways[i].unit && !is_unit) || !find_entry(h, geteuid(), NULL, ways[i].field, word) ||
                    journal_reader_usec(h->journal) <= usec ||
                    journal_reader_get(h->journal, ways[i].id, id, sizeof id) != 0)
                        continue;
                usec = journal_reader_usec(h->journal);
                (void)snprintf(newest, sizeof newest, "%s", id);
        }
        return newest[0] ? explain_ids_add(ids, newest) : 0;
}

/**
 * explain_journal_find_all() - containers of which the journal tells an end
 * @ids: the newest EXPLAIN_ENDED_MAX of them are added, the newest first
 *
 * Return: 0, EXPLAIN_MORE if there are more, or -ENOMEM.
 */
int explain_journal_find_all(const ExplainHost *h, ExplainIds *ids) {
        char own[32], id[EXPLAIN_NAME_SIZE];
        const char *matches[] = { "MESSAGE_ID=" SCOPEMON_MESSAGE_ENDED, own, h->user ? NULL : "_UID=0",
                                  NULL };
        size_t n_max = ids->n + EXPLAIN_ENDED_MAX;
        int r;

        if (!h->journal)
                return 0;
        (void)snprintf(own, sizeof own, "_UID=%u", geteuid());
        r = journal_reader_find(h->journal, matches);
        for (size_t n = 0; r == 0 && n < ENTRIES_MAX; n++, r = journal_reader_older(h->journal)) {
                if (ids->n == n_max)
                        return EXPLAIN_MORE;
                if (journal_reader_get(h->journal, SCOPEMON_FIELD_OWN_ID, id, sizeof id) == 0 &&
                    explain_ids_add(ids, id) < 0)
                        return fail(-ENOMEM);
        }
        return r == 0 ? EXPLAIN_MORE : 0;
}

static void get(const ExplainHost *h, const char *field, char *ret, size_t size) {
        if (journal_reader_get(h->journal, field, ret, size) != 0)
                ret[0] = 0;
}

static void get_number(const ExplainHost *h, const char *field, uint64_t *ret) {
        if (journal_reader_get_number(h->journal, field, ret) != 0)
                *ret = 0;
}

static bool get_yes(const ExplainHost *h, const char *field) {
        char text[8];

        get(h, field, text, sizeof text);
        return strcmp(text, "yes") == 0;
}

static void find_name(const ExplainHost *h, Explained *e) {
        static const char *const ways[][2] = { { SCOPEMON_FIELD_OWN_ID, SCOPEMON_FIELD_OWN_NAME },
                                               { SCOPEMON_FIELD_ID_FULL, SCOPEMON_FIELD_NAME },
                                               { "PODMAN_ID", "PODMAN_NAME" } };

        for (size_t i = 0; !e->name[0] && i < ELEMENTS(ways); i++)
                if (find_entry(h, e->owner, NULL, ways[i][0], e->id))
                        get(h, ways[i][1], e->name, sizeof e->name);
}

static void find_placement(const ExplainHost *h, Explained *e) {
        ExplainPlacement *p = &e->placement;
        uint64_t pid;

        if (!find_entry(h, e->owner, "MESSAGE_ID=" SCOPEMON_MESSAGE_PLACED, SCOPEMON_FIELD_OWN_ID, e->id))
                return;
        get_number(h, "_PID", &pid);
        if (e->keeper && (pid_t)pid != e->keeper->pid)
                return; /* of an earlier run */
        e->stock = false;
        p->told = true;
        p->usec = journal_reader_usec(h->journal);
        get(h, SCOPEMON_FIELD_PLACEMENT, p->name, sizeof p->name);
        get(h, SCOPEMON_FIELD_REASON, p->reason, sizeof p->reason);
        get(h, SCOPEMON_FIELD_CALLER_UNIT, p->caller_unit, sizeof p->caller_unit);
}

static void find_end(const ExplainHost *h, Explained *e) {
        static const struct {
                const char *kind, *field;
                bool by_name, by_podman;
        } ways[] = {
                { "MESSAGE_ID=" SCOPEMON_MESSAGE_ENDED, SCOPEMON_FIELD_OWN_ID, false, false },
                { "PODMAN_EVENT=died", "PODMAN_ID", false, true },
                { "MESSAGE_ID=" SCOPEMON_MESSAGE_ENDED, SCOPEMON_FIELD_OWN_NAME, true, false },
                { "PODMAN_EVENT=died", "PODMAN_NAME", true, true },
        };
        ExplainEnd *end = &e->end;

        for (size_t i = 0; !end->known && i < ELEMENTS(ways); i++) {
                if (!find_entry(h, e->owner, ways[i].kind, ways[i].field, ways[i].by_name ? e->name : e->id))
                        continue;
                end->known = true;
                end->other = ways[i].by_name;
                get(h, ways[i].by_podman ? "PODMAN_ID" : SCOPEMON_FIELD_OWN_ID, end->id, sizeof end->id);
                end->by_podman = ways[i].by_podman;
                end->usec = journal_reader_usec(h->journal);
                end->has_status = journal_reader_get_number(h->journal,
                                                            end->by_podman ? "PODMAN_EXIT_CODE"
                                                                           : SCOPEMON_FIELD_EXIT_STATUS,
                                                            &end->status) == 0;
                get_number(h, SCOPEMON_FIELD_EXIT_SIGNAL, &end->signal);
                get_number(h, SCOPEMON_FIELD_DURATION, &end->duration);
                get_number(h, SCOPEMON_FIELD_BYTES, &end->bytes);
                get_number(h, SCOPEMON_FIELD_BYTES_LOST, &end->lost);
                get_number(h, SCOPEMON_FIELD_SUPPRESSED, &end->suppressed);
                end->core_dumped = get_yes(h, SCOPEMON_FIELD_CORE_DUMPED);
                end->oom = get_yes(h, SCOPEMON_FIELD_OOM);
                end->timed_out = get_yes(h, SCOPEMON_FIELD_TIMED_OUT);
        }
}

/**
 * explain_journal() - what the journal tells of a container
 * @e: filled by explain_processes()
 */
void explain_journal(const ExplainHost *h, Explained *e) {
        find_name(h, e);
        find_placement(h, e);
        find_end(h, e);
}
