#include "applets/version.h"

#include "build_id.h"

const char *berth_version(void)
{
    return BERTH_VERSION;
}

const char *berth_build(void)
{
    return BERTH_BUILD;
}
