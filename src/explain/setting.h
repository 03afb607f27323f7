/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Settings in configuration files of others: TOML, as Podman and CRI-O have it, and systemd's. */

#include <stdbool.h>
#include <stddef.h>

/* Positive answer: it is not set. */
#define SETTING_NONE 1

int setting_find_toml(const char *text, const char *key, char *ret, size_t size);
int setting_find_ini(const char *text, const char *section, const char *key, char *ret, size_t size);
int setting_next_string(const char **at, char *ret, size_t size);
bool setting_appends(const char *value);
int setting_files(const char *const *directories, size_t n, char ***ret);
char **setting_files_free(char **files);
