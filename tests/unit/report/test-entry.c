/* SPDX-License-Identifier: Apache-2.0 */

/* What every entry has. */

#include <string.h>

#include "clean.h"
#include "report/entry.h"
#include "scopemon/protocol.h"

static void expect(const Entry *e, const char *line, bool there) {
        cr_assert_eq(memmem(e->data, e->journal.n, line, strlen(line)) != NULL, there, "%s", line);
}

CleanTest(entry, says_whose_it_is) {
        EntryOf of = { .cid = "0123", .name = "web", .unit = "web.scope" };
        Entry e;

        entry_begin(&e, &of, "cafe", 4);
        expect(&e, "MESSAGE_ID=cafe\n", true);
        expect(&e, "PRIORITY=4\n", true);
        expect(&e, SCOPEMON_FIELD_OWN_ID "=0123\n", true);
        expect(&e, SCOPEMON_FIELD_OWN_NAME "=web\n", true);
        expect(&e, SCOPEMON_FIELD_UNIT "=web.scope\n", true);
        expect(&e, SCOPEMON_FIELD_USER_UNIT "=", false);

        of = (EntryOf){ .cid = "0123", .unit = "web.scope", .user_unit = true };
        entry_begin(&e, &of, NULL, 6);
        expect(&e, "MESSAGE_ID", false);
        expect(&e, SCOPEMON_FIELD_OWN_NAME "=0123\n", true);
        expect(&e, SCOPEMON_FIELD_USER_UNIT "=web.scope\n", true);
        of.unit = "";
        entry_begin(&e, &of, NULL, 6);
        expect(&e, SCOPEMON_FIELD_USER_UNIT "=", false);
}

CleanTest(entry, no_field_is_too_long_and_no_entry) {
        const EntryOf of = { .cid = "0123" };
        char text[2000];
        Entry e;

        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = 0;
        entry_begin(&e, &of, NULL, 6);
        entry_add(&e, "LONG", "%s", text);
        cr_assert_lt(e.journal.n, 1000, "it is cut");
        for (unsigned i = 0; i < 100; i++)
                entry_add(&e, "LONG", "%s", text);
        cr_assert(!entry_send(&e), "there is not all of it");
}
