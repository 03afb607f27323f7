/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever unpacks packs to the same bytes again, with its text inside of what came, a number in
 * range and no more descriptors than the rules say: a record that asks for more could make the
 * other side take one for another.
 */

#include "fuzz.h"
#include "wire/channel.h"

static void check_descriptors(const ChannelRecord *r) {
        size_t n = channel_n_fds(r);

        switch (r->type) {
        case CHANNEL_SETUP:
                fuzz_claim(n == (size_t)__builtin_popcount(r->number) && n <= _CHANNEL_FD_MAX);
                return;
        case CHANNEL_CLIENT:
        case CHANNEL_CONSOLE:
        case CHANNEL_CLIENT_NEW:
                fuzz_claim(n == 1);
                return;
        case CHANNEL_LOGFILE:
                fuzz_claim(n == (r->number == 0));
                return;
        case CHANNEL_RUN:
        case CHANNEL_DRAIN:
        case CHANNEL_STOP:
        case CHANNEL_READY:
        case CHANNEL_CLIENT_GONE:
        case CHANNEL_REOPEN:
        case CHANNEL_STDIN_CLOSED:
        case CHANNEL_NOTIFY:
        case CHANNEL_TROUBLE:
        case CHANNEL_DRAINED:
        case CHANNEL_DONE:
                fuzz_claim(n == 0);
                return;
        case CHANNEL_NONE:
        case _CHANNEL_MAX:
                break;
        }
        fuzz_claim(!"a known record");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *again = malloc(CHANNEL_RECORD_MAX);
        ChannelRecord r;

        if (!again)
                abort();
        if (channel_unpack((const char *)data, size, &r) == 0) {
                fuzz_claim(r.n_text <= CHANNEL_TEXT_MAX && r.n_text < size);
                fuzz_claim(r.text == (const char *)data + size - r.n_text);
                fuzz_claim(r.n_text == 0 || r.type == CHANNEL_NOTIFY || r.type == CHANNEL_TROUBLE);
                fuzz_claim(r.type != CHANNEL_TROUBLE || r.number < _CHANNEL_TROUBLE_MAX);
                check_descriptors(&r);
                fuzz_claim(channel_pack(again, CHANNEL_RECORD_MAX, &r) == size);
                fuzz_claim(memcmp(again, data, size) == 0);
        }
        free(again);
        return 0;
}
