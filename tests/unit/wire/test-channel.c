/* SPDX-License-Identifier: Apache-2.0 */

/* What is packed is what is unpacked; everything else is refused. */

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "clean.h"
#include "wire/channel.h"

static const ChannelType silent[] = {
        CHANNEL_CONSOLE,    CHANNEL_RUN,         CHANNEL_LOGFILE, CHANNEL_DRAIN,        CHANNEL_READY,
        CHANNEL_CLIENT_NEW, CHANNEL_CLIENT_GONE, CHANNEL_REOPEN,  CHANNEL_STDIN_CLOSED, CHANNEL_DRAINED,
        CHANNEL_DONE,       CHANNEL_STOP,        CHANNEL_CONNECT, CHANNEL_JOURNAL,
};

CleanTest(channel, record_comes_back_as_it_went) {
        static const char text[] = "STATUS=a\nREADY=1";

        for (ChannelType type = CHANNEL_NONE + 1; type < _CHANNEL_MAX; type++) {
                bool speaks = type == CHANNEL_NOTIFY || type == CHANNEL_TROUBLE || type == CHANNEL_SETUP;
                ChannelRecord in = { .type = type,
                                     .number = 3,
                                     .value = -5,
                                     .count = UINT64_MAX,
                                     .text = text,
                                     .n_text = speaks ? strlen(text) : 0 },
                              out;
                char data[CHANNEL_RECORD_MAX];
                size_t n = channel_pack(data, sizeof data, &in);

                cr_assert_eq(n, 32 + in.n_text);
                cr_assert_eq(channel_unpack(data, n, &out), 0, "type %d", (int)type);
                cr_assert_eq(out.type, type);
                cr_assert_eq(out.number, 3);
                cr_assert_eq(out.value, -5);
                cr_assert_eq(out.count, UINT64_MAX);
                cr_assert_eq(out.n_text, in.n_text);
                cr_assert_eq(memcmp(out.text, text, in.n_text), 0);
        }
}

CleanTest(channel, long_text_is_cut_to_the_room) {
        static char text[CHANNEL_TEXT_MAX + 100], data[CHANNEL_RECORD_MAX + 100];
        ChannelRecord in = { .type = CHANNEL_NOTIFY, .text = text, .n_text = sizeof text }, out;

        memset(text, 'x', sizeof text);
        cr_assert_eq(channel_pack(data, sizeof data, &in), CHANNEL_RECORD_MAX);
        cr_assert_eq(channel_unpack(data, CHANNEL_RECORD_MAX, &out), 0);
        cr_assert_eq(out.n_text, CHANNEL_TEXT_MAX);
        cr_assert_eq(channel_pack(data, 40, &in), 40);
        cr_assert_eq(channel_unpack(data, 40, &out), 0);
        cr_assert_eq(out.n_text, 8);
}

CleanTest(channel, text_is_for_those_that_speak) {
        for (size_t i = 0; i < ELEMENTS(silent); i++) {
                ChannelRecord in = { .type = silent[i], .text = "x", .n_text = 1 }, out;
                char data[64];

                cr_assert_eq(channel_unpack(data, channel_pack(data, sizeof data, &in), &out), -EBADMSG);
        }
}

CleanTest(channel, nonsense_is_refused_whole) {
        ChannelRecord in = { .type = CHANNEL_NOTIFY, .text = "abc", .n_text = 3 }, out = { .number = 77 };
        char data[64];
        size_t n = channel_pack(data, sizeof data, &in);
        static const uint32_t types[] = { CHANNEL_NONE, _CHANNEL_MAX, 255, 0x80000000U, UINT32_MAX };

        for (size_t size = 0; size < sizeof data; size++)
                if (size != n)
                        cr_assert_eq(channel_unpack(data, size, &out), -EBADMSG, "%zu", size);
        for (size_t i = 0; i < ELEMENTS(types); i++) {
                memcpy(data, &types[i], sizeof types[i]);
                cr_assert_eq(channel_unpack(data, n, &out), -EBADMSG, "%u", types[i]);
        }
        in = (ChannelRecord){ .type = CHANNEL_TROUBLE, .number = _CHANNEL_TROUBLE_MAX };
        cr_assert_eq(channel_unpack(data, channel_pack(data, sizeof data, &in), &out), -EBADMSG);
        cr_assert_eq(out.number, 77, "nothing is written");
}

CleanTest(channel, descriptors_are_counted_by_rule) {
        static const struct {
                ChannelType type;
                uint32_t number;
                size_t n_fds;
        } cases[] = {
                { CHANNEL_SETUP, 0, 0 },        { CHANNEL_CONSOLE, 0, 1 },    { CHANNEL_LOGFILE, 0, 1 },
                { CHANNEL_LOGFILE, ENOSPC, 0 }, { CHANNEL_JOURNAL, 0, 1 },    { CHANNEL_JOURNAL, ENOENT, 0 },
                { CHANNEL_CONNECT, 0, 0 },      { CHANNEL_CLIENT_NEW, 0, 1 }, { CHANNEL_CLIENT_GONE, 0, 0 },
                { CHANNEL_RUN, 0, 1 },          { CHANNEL_RUN, 1, 0 },        { CHANNEL_DRAIN, 0, 0 },
                { CHANNEL_READY, 1, 0 },        { CHANNEL_NOTIFY, 0, 1 },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                ChannelRecord record = { .type = cases[i].type, .number = cases[i].number };

                for (size_t n = 0; n < 3; n++) {
                        bool lost = (record.type == CHANNEL_CLIENT_NEW || record.type == CHANNEL_NOTIFY) &&
                                    n == 0;

                        cr_assert_eq(channel_takes_fds(&record, n), lost || n == cases[i].n_fds, "case %zu",
                                     i);
                }
        }
}

CleanTest(channel, setup_lists_descriptors) {
        char text[3 * CHANNEL_SETUP_ENTRY];
        ChannelRecord record = { .type = CHANNEL_SETUP, .number = 2, .text = text };
        size_t at = 0, n = 0;
        uint32_t what;
        int fd;

        n = channel_setup_add(text, n, CHANNEL_FD_STDERR, 7);
        n = channel_setup_add(text, n, _CHANNEL_FD_MAX + 1023, 3);
        record.n_text = n;
        cr_assert(channel_setup_next(&record, &at, &what, &fd));
        cr_assert(what == CHANNEL_FD_STDERR && fd == 7);
        cr_assert(channel_setup_next(&record, &at, &what, &fd));
        cr_assert(what == _CHANNEL_FD_MAX + 1023 && fd == 3);
        cr_assert(!channel_setup_next(&record, &at, &what, &fd));
        record.number = 1; /* and the configuration follows */
        at = 0;
        cr_assert(channel_setup_next(&record, &at, &what, &fd));
        cr_assert(!channel_setup_next(&record, &at, &what, &fd));
        cr_assert_eq(at, CHANNEL_SETUP_ENTRY);
        record.number = UINT32_MAX;
        record.n_text = n - 1;
        at = CHANNEL_SETUP_ENTRY;
        cr_assert(!channel_setup_next(&record, &at, &what, &fd), "half of one is none");
}

CleanTest(channel, text_may_lie_where_it_goes) {
        char data[CHANNEL_HEAD + 16];
        ChannelRecord in = { .type = CHANNEL_SETUP, .text = data + CHANNEL_HEAD, .n_text = 5 }, out;
        size_t n;

        memcpy(data + CHANNEL_HEAD, "setup", 5);
        n = channel_pack(data, sizeof data, &in);
        cr_assert_eq(n, CHANNEL_HEAD + 5);
        cr_assert_eq(channel_unpack(data, n, &out), 0);
        cr_assert_eq(out.n_text, 5);
        cr_assert_eq(memcmp(out.text, "setup", 5), 0);
}
