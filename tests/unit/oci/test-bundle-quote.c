/* SPDX-License-Identifier: Apache-2.0 */

#include "base/cleanup.h"
#include "clean.h"
#include "oci/bundle.h"

CleanTest(bundle_quote, quoted_text_is_read_alike_by_all) {
        static const struct {
                const char *text, *quoted;
        } cases[] = {
                { "", "''" },
                { "Container baz (localhost/alpine)", "'Container baz (localhost/alpine)'" },
                { "it's", "'it\xe2\x80\x99s'" },
                { "a\\b\"c", "'a\\\\b\"c'" },
                { "a\nb\tc\x7f\x01", "'a b c  '" },
                { "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", "'gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80'" },
                { "\xff\xc3", "'\xef\xbf\xbd\xef\xbf\xbd'" },
                { "\xc0\xaf", "'\xef\xbf\xbd\xef\xbf\xbd'" },
                { "\xed\xa0\x80", "'\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd'" },
                { "\xe2\x82", "'\xef\xbf\xbd\xef\xbf\xbd'" },
                { "\xf4\x90\x80\x80", "'\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd'" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *quoted = bundle_quote(cases[i].text);

                cr_assert_str_eq(quoted, cases[i].quoted);
        }
}

CleanTest(bundle_quote, lists_keep_backslashes_and_apostrophes) {
        static const char *const one[] = { "baz.service", NULL };
        static const char *const two[] = { "a\\x2db.service", "it's", NULL };
        _cleanup_free_ char *list = bundle_quote_list(one), *list2 = bundle_quote_list(two);

        cr_assert_str_eq(list, "['baz.service']");
        cr_assert_str_eq(list2, "['a\\\\x2db.service', 'it\\'s']");
}
