/* broker_place.h: a broker as its users and agents name it: its URL, and what it is known by. */
#ifndef SERVICE_BROKER_PLACE_H
#define SERVICE_BROKER_PLACE_H

#include "net/web_ask.h"

/* As a person gives them; NULL where they did not. */
struct broker_words {
    const char *url;
    const char *pin; /* --pin: SHA-256 of its certificate, hex, with colons or without */
    const char *ca;  /* --ca: a PEM file of authorities in place of the system's */
    bool insecure_http;
};

struct broker_place {
    struct web_server server;
    struct tls_anchors *anchors;
    uint8_t pin[SHA256_LEN];
};

/* 0; or the exit status, and a line was logged: among others for http:// to a host that is not loopback, unless
 * that was asked for. broker_place_fini() is due in either case. */
int broker_place_find(struct broker_place *b, const struct broker_words *w);
void broker_place_fini(struct broker_place *b);

/* What an Error of the broker's HTTP API says, or what a status means; heap. */
char *broker_refusal(int status, const char *body, size_t len);

#endif
