/* Whether UDP gets to the host, and if not, what is in its way. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets/control/doctor_check.h"
#include "applets/service/firewall.h"
#include "core/mem.h"

#define OVER_SSH "until then sessions go over ssh"

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* The best of them; of equals the first: ssh's own. */
static const struct doctor_way *best_way(const struct doctor_side *side)
{
    const struct doctor_way *best = &side->ways[0];
    for (size_t i = 1; i < side->way_count; i++)
        if (side->ways[i].outcome >= WAY_SMALL && side->ways[i].outcome > best->outcome)
            best = &side->ways[i];
    return best;
}

/* ---- the firewall ---- */

static void check_firewall(struct checks *c, const struct doctor_report *r, bool good)
{
    const char *verdict = r->facts[FACT_FIREWALL], *seen = r->facts[FACT_FIREWALL_SEEN];
    const char *remedy = r->facts[FACT_FIREWALL_REMEDY];
    if (!verdict || !seen)
        return;
    if (is(verdict, "open"))
        check_add(c, CHECK_OK, "firewall", xstrdup(seen), NULL);
    else if (is(verdict, "closed"))
        check_add(c, CHECK_WARN, "firewall", xstrdup(seen),
                  xstrdup(remedy ? remedy : "see `sudo nft list ruleset` there"));
    else if (!good) /* else it does not matter */
        check_add(c, remedy ? CHECK_WARN : CHECK_UNKNOWN, "firewall", xstrdup(seen),
                  remedy ? xstrdup(remedy) : NULL);
}

/* ---- the path ---- */

static void not_tried(struct checks *c, const struct doctor_report *r)
{
    bool cached = false;
    for (size_t i = 0; i < DOCTOR_PLACES && r->places[i].dir; i++)
        cached |= r->places[i].cached;
    if (cached)
        check_add(c, CHECK_WARN, "udp path", xstrdup("no UDP port could be had there"),
                  xstrdup("does the account or its container forbid sockets? " OVER_SSH));
    else
        check_add(c, CHECK_UNKNOWN, "udp path",
                  xstrdup("not tried: that takes this very berth there; `berth master` sends it"),
                  NULL);
}

static char *time_text(uint64_t us)
{
    return us < 10000 ? xasprintf("%.1f ms", (double)us / 1000)
                      : xasprintf("%" PRIu64 " ms", us / 1000);
}

/* Of the other family, if there is one that this machine can send to at all. */
static char *other_text(const struct doctor_side *side, const struct doctor_way *best)
{
    const struct doctor_way *failed = NULL;
    for (size_t i = 0; i < side->way_count; i++) {
        const struct doctor_way *w = &side->ways[i];
        if (w->v6 != best->v6 && w->outcome == WAY_GOOD)
            return xasprintf("; over %s too", w->v6 ? "IPv6" : "IPv4");
        if (w->v6 != best->v6 && w->outcome != WAY_NONE && !failed)
            failed = w;
    }
    return failed ? xasprintf("; not to %s", failed->address) : xstrdup("");
}

static void path_good(struct checks *c, const struct doctor_side *side,
                      const struct doctor_way *best)
{
    cleanup_free char *took = time_text(best->rtt_us), *other = other_text(side, best);
    check_add(c, CHECK_OK, "udp path",
              xasprintf("gets through to %s, port %u, in %s%s", best->address, side->udp_port, took,
                        other),
              NULL);
}

static char *path_remedy(const struct doctor_report *r, const struct doctor_way *way)
{
    if (way->outcome == WAY_SMALL)
        return xstrdup(
            "a device between drops larger ones: its MTU must be 1280 at least; " OVER_SSH);
    if (way->outcome == WAY_FORBIDDEN)
        return xstrdup("have this machine's own firewall let UDP out; " OVER_SSH);
    if (is(r->facts[FACT_FIREWALL], "closed"))
        return xstrdup("open its firewall, as above; " OVER_SSH);
    return xasprintf("%sopen UDP %d-%d to it at its provider (security group, router), and out of "
                     "this network; " OVER_SSH,
                     r->facts[FACT_FIREWALL_REMEDY] ? "if it is not its firewall: " : "",
                     FIREWALL_FIRST_PORT, FIREWALL_LAST_PORT);
}

static void path_bad(struct checks *c, const struct doctor_report *r,
                     const struct doctor_side *side, const struct doctor_way *way)
{
    static const char *const why[] = {[WAY_NONE] = "there is no route",
                                      [WAY_SILENT] = "no answer",
                                      [WAY_REFUSED] = "it is refused",
                                      [WAY_FORBIDDEN] = "this machine may not send it"};
    char *text = way->outcome == WAY_SMALL
                     ? xasprintf("only short datagrams get through to %s, port %u", way->address,
                                 side->udp_port)
                     : xasprintf("does not get through to %s, port %u: %s", way->address,
                                 side->udp_port, why[way->outcome]);
    check_add(c, CHECK_WARN, "udp path", text, path_remedy(r, way));
}

void check_path(struct checks *c, const struct doctor_report *r, const struct doctor_side *side)
{
    const struct doctor_way *best = side->way_count ? best_way(side) : NULL;
    bool good = best && best->outcome == WAY_GOOD;
    check_firewall(c, r, good);
    if (!best)
        not_tried(c, r);
    else if (good)
        path_good(c, side, best);
    else
        path_bad(c, r, side, best);
}
