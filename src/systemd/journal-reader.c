/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The journal, read from its end. What may be read is the kernel's business: an unprivileged reader sees its own
 * entries, and that there are others is no error.
 *
 * Anybody may send entries with any field but those that begin with an underscore. Whoever believes what an entry says
 * has to match _UID= too.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>

#include "base/error.h"
#include "base/parse.h"
#include "systemd/journal-reader.h"

#define VALUE_MAX 65536

struct JournalReader {
        sd_journal *journal;
};

/**
 * journal_reader_open() - the journal of this host
 * @directory: read the files in there instead; NULL for the host's
 *
 * Return: 0 or a negative errno.
 */
int journal_reader_open(JournalReader **ret, const char *directory) {
        _cleanup_(journal_reader_freep) JournalReader *j = NULL;
        int r;

        j = calloc(1, sizeof *j);
        if (!j)
                return fail(-ENOMEM);
        r = directory ? sd_journal_open_directory(&j->journal, directory, 0)
                      : sd_journal_open(&j->journal, SD_JOURNAL_LOCAL_ONLY);
        if (r < 0)
                return fail(r);
        (void)sd_journal_set_data_threshold(j->journal, VALUE_MAX); /* more is cut by us anyway */
        *ret = TAKE_PTR(j);
        return 0;
}

/**
 * journal_reader_free() - let go of its files
 *
 * Return: NULL.
 */
JournalReader *journal_reader_free(JournalReader *j) {
        if (!j)
                return NULL;
        if (j->journal)
                sd_journal_close(j->journal);
        free(j);
        return NULL;
}

/**
 * journal_reader_older() - go on to the next older entry that matches
 *
 * Return: 0, JOURNAL_READER_NONE, or a negative errno.
 */
int journal_reader_older(JournalReader *j) {
        int r;

        r = sd_journal_previous(j->journal);
        if (r < 0)
                return fail(r);
        return r > 0 ? 0 : JOURNAL_READER_NONE;
}

/**
 * journal_reader_find() - go to the newest entry that matches
 * @matches: FIELD=VALUE, NULL after the last one. One of those with the same field has to be there, and one of each
 * field
 *
 * Return: 0, JOURNAL_READER_NONE, or a negative errno.
 */
int journal_reader_find(JournalReader *j, const char *const *matches) {
        int r;

        sd_journal_flush_matches(j->journal);
        for (size_t i = 0; matches[i]; i++) {
                r = sd_journal_add_match(j->journal, matches[i], 0);
                if (r < 0)
                        return fail(r);
        }
        r = sd_journal_seek_tail(j->journal);
        if (r < 0)
                return fail(r);
        r = journal_reader_older(j);
        return r < 0 ? relay(r) : r;
}

/**
 * journal_reader_usec() - when the entry came in, in microseconds since the epoch; 0 if unknown
 */
uint64_t journal_reader_usec(JournalReader *j) {
        uint64_t usec;

        return sd_journal_get_realtime_usec(j->journal, &usec) < 0 ? 0 : usec;
}

/**
 * journal_reader_get() - a field of the entry
 * @ret: with a NUL, cut to @size
 *
 * Return: 0, JOURNAL_READER_NONE, or a negative errno.
 */
int journal_reader_get(JournalReader *j, const char *field, char *ret, size_t size) {
        size_t n, n_field = strlen(field) + 1;
        const char *data;
        int r;

        r = sd_journal_get_data(j->journal, field, (const void **)&data, &n);
        if (r == -ENOENT)
                return JOURNAL_READER_NONE;
        if (r < 0)
                return fail(r);
        if (n < n_field)
                return fail(-EBADMSG);
        (void)snprintf(ret, size, "%.*s", (int)(n - n_field < size ? n - n_field : size), data + n_field);
        return 0;
}

/**
 * journal_reader_get_number() - a field of the entry that is to be a number
 *
 * Return: 0, JOURNAL_READER_NONE also if it is none, or a negative errno.
 */
int journal_reader_get_number(JournalReader *j, const char *field, uint64_t *ret) {
        char text[32];
        int r;

        r = journal_reader_get(j, field, text, sizeof text);
        if (r != 0)
                return r < 0 ? relay(r) : r;
        return parse_u64(text, ret) < 0 ? JOURNAL_READER_NONE : 0;
}

/**
 * journal_reader_count() - how many entries match, of a span of time
 * @matches: as for journal_reader_find()
 * @from: microseconds since the epoch, for the first that counts
 * @until: ... and for the first after those
 *
 * A million takes about a second.
 *
 * Return: 0 or a negative errno.
 */
int journal_reader_count(JournalReader *j,
                         const char *const *matches,
                         uint64_t from,
                         uint64_t until,
                         uint64_t *ret) {
        uint64_t n = 0;
        int r;

        for (r = journal_reader_find(j, matches); r == 0; r = journal_reader_older(j)) {
                uint64_t usec = journal_reader_usec(j);

                if (usec < from)
                        break;
                n += usec < until;
        }
        if (r < 0)
                return relay(r);
        *ret = n;
        return 0;
}

/**
 * journal_reader_explains() - does the catalog of this host have an entry?
 * @message_id: 32 hexadecimal digits
 */
bool journal_reader_explains(const char *message_id) {
        _cleanup_free_ char *text = NULL;
        sd_id128_t id;

        return sd_id128_from_string(message_id, &id) >= 0 &&
               sd_journal_get_catalog_for_message_id(id, &text) >= 0;
}
