/* What can be asked of the broker, and by whom. */
#include "applets/broker/call.h"

const struct route routes[] = {
    {"GET", "/", api_page, true, LIMIT_NONE},
    {"GET", "/page/*", api_page, true, LIMIT_NONE},
    {"GET", "/openapi.json", api_page, true, LIMIT_NONE},
    {"GET", "/install.sh", api_install, true, LIMIT_NONE},
    {"GET", "/api/agent/download", api_download, true, LIMIT_NOBODY},
    {"GET", "/healthz", api_health, true, LIMIT_NONE},
    {"GET", "/metrics", api_metrics, true, LIMIT_NOBODY},
    {"GET", "/api/bridge", api_bridge, true, LIMIT_NONE},
    {"POST", "/api/agent/enroll", api_agent_enroll, true, LIMIT_NOBODY},
    {"POST", "/api/session", api_session_open, true, LIMIT_NOBODY},
    {"DELETE", "/api/session", api_session_close, true, LIMIT_NONE},
    {"GET", "/api/me", api_me, false, LIMIT_DEFAULT},
    {"GET", "/api/agents", api_agents, false, LIMIT_DEFAULT},
    {"DELETE", "/api/agents/*", api_agent_revoke, false, LIMIT_DEFAULT},
    {"POST", "/api/agent/code", api_agent_code, false, LIMIT_DEFAULT},
    {"GET", "/api/files", api_file_get, false, LIMIT_DEFAULT},
    {"PUT", "/api/files", api_file_put, false, LIMIT_DEFAULT},
    {"GET", "/api/terminal", api_terminal, false, LIMIT_EXEC},
    {"POST", "/api/exec", api_exec, false, LIMIT_EXEC},
    {"GET", "/api/exec", api_exec_socket, false, LIMIT_EXEC},
    {"GET", "/api/activity", api_activity, false, LIMIT_DEFAULT},
    {0},
};
