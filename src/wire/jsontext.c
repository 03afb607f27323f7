/* SPDX-License-Identifier: Apache-2.0 */

/*
 * JSON as text. Whoever changes two members of a file of ten thousand bytes needs no tree of it: the walk says where a
 * value begins and ends, the caller puts another one there, and all else stays as its author has written it: the order
 * of members, numbers of any size, escapes, blanks. Nothing is allocated.
 *
 * Why not json-c: a monitor reads its bundle at every start and then stands about for months. The tree of Podman's
 * config.json (10 KiB) is 128 KiB of heap, of which the allocator keeps what it has cached in each page of it, and takes
 * 140 us to make. It cannot be left to a process that ends: what is written into the bundle is decided after the start
 * byte, when the launcher has gone, and a child costs more than the tree. All else that reads JSON uses json-c.
 *
 * The walk accepts what RFC 8259 does and nothing else, down to JSONTEXT_DEPTH levels. Bytes from 0x80 on are not
 * looked at: what is no UTF-8 stays so.
 */

#include <stdint.h>
#include <string.h>

#include "wire/jsontext.h"

static bool fail_walk(JsonWalk *w, const char *why) {
        w->why = why;
        return false;
}

static void skip_blanks(JsonWalk *w) {
        while (w->at < w->n && (w->text[w->at] == ' ' || w->text[w->at] == '\n' || w->text[w->at] == '\t' ||
                                w->text[w->at] == '\r'))
                w->at++;
}

/* The next character that is no blank; 0 at the end, where a byte 0 of the text is no better. */
static char peek(JsonWalk *w) {
        skip_blanks(w);
        return (char)(w->at < w->n ? w->text[w->at] : 0);
}

static int hex_value(char c) {
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

/* The four digits of \uXXXX from @text on; -1 if they are none. */
static int32_t read_hex(const char *text, size_t n) {
        int32_t value = 0;

        if (n < 4)
                return -1;
        for (size_t i = 0; i < 4; i++) {
                int digit = hex_value(text[i]);

                if (digit < 0)
                        return -1;
                value = value * 16 + digit;
        }
        return value;
}

/* Behind the backslash. */
static bool walk_escape(JsonWalk *w) {
        char c = (char)(w->at < w->n ? w->text[w->at] : 0);

        if (c == 'u' && read_hex(w->text + w->at + 1, w->n - w->at - 1) >= 0)
                w->at += 5;
        else if (c != 0 && strchr("\"\\/bfnrt", c))
                w->at++;
        else
                return fail_walk(w, "invalid escape in a string");
        return true;
}

static bool walk_string(JsonWalk *w) {
        w->at++;
        while (w->at < w->n) {
                unsigned char c = (unsigned char)w->text[w->at];

                if (c < 0x20)
                        return fail_walk(w, "control character in a string");
                w->at++;
                if (c == '"')
                        return true;
                if (c == '\\' && !walk_escape(w))
                        return false;
        }
        return fail_walk(w, "unterminated string");
}

static size_t walk_digits(JsonWalk *w) {
        size_t begin = w->at;

        while (w->at < w->n && w->text[w->at] >= '0' && w->text[w->at] <= '9')
                w->at++;
        return w->at - begin;
}

static bool walk_number(JsonWalk *w) {
        size_t begin, digits;

        if (w->text[w->at] == '-')
                w->at++;
        begin = w->at;
        digits = walk_digits(w);
        if (digits == 0 || (digits > 1 && w->text[begin] == '0'))
                return fail_walk(w, "invalid number");
        if (w->at < w->n && w->text[w->at] == '.') {
                w->at++;
                if (walk_digits(w) == 0)
                        return fail_walk(w, "invalid number");
        }
        if (w->at < w->n && (w->text[w->at] == 'e' || w->text[w->at] == 'E')) {
                w->at++;
                if (w->at < w->n && (w->text[w->at] == '+' || w->text[w->at] == '-'))
                        w->at++;
                if (walk_digits(w) == 0)
                        return fail_walk(w, "invalid number");
        }
        return true;
}

static bool walk_word(JsonWalk *w) {
        static const char *const words[] = { "true", "false", "null" };

        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
                size_t n = strlen(words[i]);

                if (w->n - w->at >= n && memcmp(w->text + w->at, words[i], n) == 0) {
                        w->at += n;
                        return true;
                }
        }
        return fail_walk(w, w->at < w->n ? "unexpected character" : "unexpected end");
}

static bool jsontext_nest(JsonWalk *w) {
        w->at++;
        w->first = true;
        return ++w->depth <= JSONTEXT_DEPTH || fail_walk(w, "nesting too deep");
}

/* Is there another element, up to @close? If not, the walk is behind it, or has a complaint. */
static bool walk_on(JsonWalk *w, char close) {
        bool first = w->first;
        char c = peek(w);

        w->first = false;
        if (c == close) {
                w->at++;
                w->depth--;
                return false;
        }
        if (first)
                return true;
        if (c != ',')
                return fail_walk(w, w->at < w->n ? "unexpected character" : "unexpected end");
        w->at++;
        return true;
}

static bool walk_value(JsonWalk *w) {
        JsonSpan name, value;

        switch (peek(w)) {
        case '{':
                if (!jsontext_nest(w))
                        return false;
                while (jsontext_member(w, &name, &value))
                        ;
                return !w->why;
        case '[':
                if (!jsontext_nest(w))
                        return false;
                while (walk_on(w, ']'))
                        if (!walk_value(w))
                                return false;
                return !w->why;
        case '"':
                return walk_string(w);
        case '-':
        case '0' ... '9':
                return walk_number(w);
        default:
                return walk_word(w);
        }
}

/**
 * jsontext_enter() - go into the object that comes next
 *
 * Return: true; or false with the walk's reason set.
 */
bool jsontext_enter(JsonWalk *w) {
        if (peek(w) != '{')
                return fail_walk(w, "not an object");
        return jsontext_nest(w);
}

/**
 * jsontext_value() - the next value, blanks before it left out
 *
 * Return: true; or false with the walk's reason set.
 */
bool jsontext_value(JsonWalk *w, JsonSpan *ret) {
        size_t begin;

        skip_blanks(w);
        begin = w->at;
        if (!walk_value(w))
                return false;
        *ret = (JsonSpan){ .begin = begin, .end = w->at };
        return true;
}

/**
 * jsontext_member() - the next member of the object that was entered
 *
 * Return: true; or false behind the last one, or with the walk's reason set.
 */
bool jsontext_member(JsonWalk *w, JsonSpan *ret_name, JsonSpan *ret_value) {
        if (!walk_on(w, '}'))
                return false;
        if (peek(w) != '"')
                return fail_walk(w, w->at < w->n ? "a member without a name" : "unexpected end");
        if (!jsontext_value(w, ret_name))
                return false;
        if (peek(w) != ':')
                return fail_walk(w, "a member without a value");
        w->at++;
        return jsontext_value(w, ret_value);
}

/**
 * jsontext_end() - is there nothing more?
 */
bool jsontext_end(JsonWalk *w) {
        skip_blanks(w);
        return w->at == w->n || fail_walk(w, "text behind the end");
}

/* A character as UTF-8; returns how many bytes. */
static size_t put_character(uint32_t c, char ret[static 4]) {
        if (c < 0x80) {
                ret[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                ret[0] = (char)(0xc0 | c >> 6);
                ret[1] = (char)(0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                ret[0] = (char)(0xe0 | c >> 12);
                ret[1] = (char)(0x80 | (c >> 6 & 0x3f));
                ret[2] = (char)(0x80 | (c & 0x3f));
                return 3;
        }
        ret[0] = (char)(0xf0 | c >> 18);
        ret[1] = (char)(0x80 | (c >> 12 & 0x3f));
        ret[2] = (char)(0x80 | (c >> 6 & 0x3f));
        ret[3] = (char)(0x80 | (c & 0x3f));
        return 4;
}

/* What \uXXXX at @at says, with the \uXXXX that follows if they are a pair; @at is moved on. */
static uint32_t take_unicode(const char *text, size_t end, size_t *at) {
        int32_t high = read_hex(text + *at + 2, 4), low;

        *at += 6;
        if (high < 0xd800 || high > 0xdfff)
                return (uint32_t)high;
        low = high < 0xdc00 && end - *at >= 6 && text[*at] == '\\' && text[*at + 1] == 'u'
                      ? read_hex(text + *at + 2, 4)
                      : -1;
        if (low < 0xdc00 || low > 0xdfff)
                return 0xfffd;
        *at += 6;
        return 0x10000 + ((uint32_t)(high & 0x3ff) << 10) + (uint32_t)(low & 0x3ff);
}

/* The next character of a string that the walk has accepted, at most 4 bytes; @at is moved on. */
static size_t take_character(const char *text, size_t end, size_t *at, char ret[static 4]) {
        static const char letters[] = "bfnrt", values[] = "\b\f\n\r\t";
        const char *letter;

        if (text[*at] != '\\') {
                ret[0] = text[(*at)++];
                return 1;
        }
        if (text[*at + 1] == 'u')
                return put_character(take_unicode(text, end, at), ret);
        letter = strchr(letters, text[*at + 1]);
        ret[0] = (char)(letter ? values[letter - letters] : text[*at + 1]);
        *at += 2;
        return 1;
}

/**
 * jsontext_same() - does a string of an accepted text say @word?
 */
bool jsontext_same(const char *text, JsonSpan string, const char *word) {
        size_t n = strlen(word);

        for (size_t at = string.begin + 1; at < string.end - 1;) {
                char c[4];
                size_t size = take_character(text, string.end - 1, &at, c);

                if (size > n || memcmp(c, word, size) != 0)
                        return false;
                word += size;
                n -= size;
        }
        return n == 0;
}

/**
 * jsontext_decode() - what a string of an accepted text says
 * @size: the length of the string, with its quotes, is always enough
 *
 * Return: false if it is too long, or has a NUL within.
 */
bool jsontext_decode(const char *text, JsonSpan string, char *ret, size_t size) {
        size_t n = 0;

        for (size_t at = string.begin + 1; at < string.end - 1;) {
                char c[4];
                size_t k = take_character(text, string.end - 1, &at, c);

                if (c[0] == 0 || n + k >= size)
                        return false;
                memcpy(ret + n, c, k);
                n += k;
        }
        if (n >= size)
                return false;
        ret[n] = 0;
        return true;
}

/**
 * jsontext_encode() - a word as a string, with quotes
 * @word: UTF-8
 * @size: six times the length of the word and 3 are always enough
 *
 * Return: the length without the NUL at the end, 0 if it does not fit.
 */
size_t jsontext_encode(const char *word, char *ret, size_t size) {
        static const char digits[] = "0123456789abcdef", letters[] = "bfnrt", values[] = "\b\f\n\r\t";
        size_t n = 0;

        if (size < 3)
                return 0;
        ret[n++] = '"';
        for (; *word; word++) {
                unsigned char c = (unsigned char)*word;
                const char *value = strchr(values, c);

                if (size - n < 6 + 2) /* the longest form, the quote and the NUL */
                        return 0;
                if (value || c == '"' || c == '\\') {
                        ret[n++] = '\\';
                        ret[n++] = (char)(value ? letters[value - values] : c);
                } else if (c < 0x20) {
                        memcpy(ret + n, "\\u00", 4);
                        ret[n + 4] = digits[c >> 4];
                        ret[n + 5] = digits[c & 15];
                        n += 6;
                } else
                        ret[n++] = (char)c;
        }
        ret[n++] = '"';
        ret[n] = 0;
        return n;
}
