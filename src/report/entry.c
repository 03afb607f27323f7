/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An entry of ours: what each of them has, and its way to the journal. It says which container it is of, and names the
 * unit that it concerns, so that the journal of that unit shows it.
 */

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "report/entry.h"
#include "scopemon/protocol.h"

#define FIELD_SIZE 640 /* longer values are cut */

/**
 * entry_name() - what the container is called
 */
const char *entry_name(const EntryOf *of) {
        return of->name ? of->name : of->cid;
}

/**
 * entry_add() - one more field; without effect if there is no room
 */
void entry_add(Entry *e, const char *name, const char *format, ...) {
        char value[FIELD_SIZE];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(value, sizeof value, format, ap);
        va_end(ap);
        if (n >= 0)
                (void)journal_add_text(&e->journal, name, value);
}

/**
 * entry_begin() - what every entry has
 * @id: MESSAGE_ID, NULL for none
 * @priority: as syslog counts
 */
void entry_begin(Entry *e, const EntryOf *of, const char *id, int priority) {
        e->journal = (JournalEntry){ .data = e->data, .size = sizeof e->data };
        if (id)
                entry_add(e, "MESSAGE_ID", "%s", id);
        entry_add(e, "PRIORITY", "%d", priority);
        entry_add(e, "SYSLOG_IDENTIFIER", "scopemon");
        entry_add(e, SCOPEMON_FIELD_OWN_ID, "%s", of->cid);
        entry_add(e, SCOPEMON_FIELD_OWN_NAME, "%s", entry_name(of)); /* the catalogue counts on it */
        if (of->unit && of->unit[0])
                entry_add(e, of->user_unit ? SCOPEMON_FIELD_USER_UNIT : SCOPEMON_FIELD_UNIT, "%s", of->unit);
}

/**
 * entry_send() - send it; never waits
 *
 * Return: false if the journal is not there; nobody is told so.
 */
bool entry_send(Entry *e) {
        return e->journal.n <= sizeof e->data && log_send_entry(e->data, e->journal.n) >= 0;
}
