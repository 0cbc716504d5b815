/* enrol.h: this device made known to a broker, by a code that its user was given there. */
#ifndef AGENT_ENROL_H
#define AGENT_ENROL_H

#include "applets/agent/device_key.h"
#include "net/web_ask.h"

#define ENROL_NAME_MAX 64 /* bytes of a device's name: letters, digits, dots, dashes, underscores */

/* Asks the broker and waits for the answer; `name` NULL: the host's own. The exit status; where it is not 0
 * a line was logged. */
int enrol(const struct web_server *broker, const struct device_key *key, const char *code,
          const char *name);

/* A host's name as a device may be called: cut, and with dashes for what a name cannot have. */
void enrol_name(char name[static ENROL_NAME_MAX + 1], const char *host);
/* NULL: the answer says that it is done; else why not, heap. */
char *enrol_flaw(const struct web_answer *answer);

#endif
