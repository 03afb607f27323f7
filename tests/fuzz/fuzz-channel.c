/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever unpacks packs to the same bytes again, with its text inside of what came, a number in
 * range and no more descriptors than the rules say: a record that asks for more could make the
 * other side take one for another.
 */

#include "fuzz.h"
#include "wire/channel.h"

static void check_descriptors(const ChannelRecord *r) {
        for (size_t n = 0; n < 4; n++)
                switch (r->type) {
                case CHANNEL_CONSOLE:
                        fuzz_claim(channel_takes_fds(r, n) == (n == 1));
                        break;
                case CHANNEL_CLIENT_NEW:
                case CHANNEL_NOTIFY:
                        fuzz_claim(channel_takes_fds(r, n) == (n <= 1));
                        break;
                case CHANNEL_RUN:
                case CHANNEL_LOGFILE:
                case CHANNEL_JOURNAL:
                        fuzz_claim(channel_takes_fds(r, n) == (n == (r->number == 0)));
                        break;
                case CHANNEL_SETUP:
                case CHANNEL_DRAIN:
                case CHANNEL_STOP:
                case CHANNEL_READY:
                case CHANNEL_CLIENT_GONE:
                case CHANNEL_REOPEN:
                case CHANNEL_STDIN_CLOSED:
                case CHANNEL_TROUBLE:
                case CHANNEL_DRAINED:
                case CHANNEL_DONE:
                case CHANNEL_PING:
                case CHANNEL_PONG:
                case CHANNEL_CONNECT:
                        fuzz_claim(channel_takes_fds(r, n) == (n == 0));
                        break;
                case CHANNEL_NONE:
                case _CHANNEL_MAX:
                        fuzz_claim(!"a known record");
                }
}

/* Each entry of the text is given once, and nothing from outside of it. */
static void check_setup(const ChannelRecord *r) {
        size_t at = 0, n = 0;
        uint32_t what;
        int fd;

        while (channel_setup_next(r, &at, &what, &fd)) {
                char entry[CHANNEL_SETUP_ENTRY];

                fuzz_claim(at <= r->n_text);
                fuzz_claim(channel_setup_add(entry, 0, what, fd) == sizeof entry);
                fuzz_claim(memcmp(entry, r->text + n * sizeof entry, sizeof entry) == 0);
                n++;
        }
        fuzz_claim(n == (r->number < r->n_text / CHANNEL_SETUP_ENTRY ? r->number
                                                                     : r->n_text / CHANNEL_SETUP_ENTRY));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *again = malloc(CHANNEL_RECORD_MAX);
        ChannelRecord r;

        if (!again)
                abort();
        if (channel_unpack((const char *)data, size, &r) == 0) {
                fuzz_claim(r.n_text <= CHANNEL_TEXT_MAX && r.n_text < size);
                fuzz_claim(r.text == (const char *)data + size - r.n_text);
                fuzz_claim(r.n_text == 0 || r.type == CHANNEL_NOTIFY || r.type == CHANNEL_TROUBLE ||
                           r.type == CHANNEL_SETUP);
                fuzz_claim(r.type != CHANNEL_TROUBLE || r.number < _CHANNEL_TROUBLE_MAX);
                check_descriptors(&r);
                if (r.type == CHANNEL_SETUP)
                        check_setup(&r);
                fuzz_claim(channel_pack(again, CHANNEL_RECORD_MAX, &r) == size);
                fuzz_claim(memcmp(again, data, size) == 0);
        }
        free(again);
        return 0;
}
