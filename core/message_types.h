/* message_types.h: the one table of the messages' types: PROTOCOLS, sections 1, 2 and 4 to 6. */
#ifndef CORE_MESSAGE_TYPES_H
#define CORE_MESSAGE_TYPES_H

#define MESSAGE_TYPES(X)                                                                           \
    X(ERROR, "Error")                                                                              \
    X(OK, "Ok")                                                                                    \
    X(PING, "Ping")                                                                                \
    X(PONG, "Pong")                                                                                \
    X(DIAL, "Dial")                                                                                \
    X(DIAL_UDP, "DialUdp")                                                                         \
    X(EXEC, "Exec")                                                                                \
    X(EXEC_RESULT, "ExecResult")                                                                   \
    X(EXEC_STREAM, "ExecStream")                                                                   \
    X(STARTED, "Started")                                                                          \
    X(RESIZE, "Resize")                                                                            \
    X(EXITED, "Exited")                                                                            \
    X(FILE_GET, "FileGet")                                                                         \
    X(FILE_INFO, "FileInfo")                                                                       \
    X(FILE_PUT, "FilePut")                                                                         \
    X(SYNC, "Sync")                                                                                \
    X(FILE_READ, "FileRead")                                                                       \
    X(FILE_CONTENT, "FileContent")                                                                 \
    X(FILE_WRITE, "FileWrite")                                                                     \
    X(FILE_UPLOAD, "FileUpload")                                                                   \
    X(FILE_DOWNLOAD, "FileDownload")                                                               \
    X(FILE_DATA, "FileData")                                                                       \
    X(EDIT_FILE, "EditFile")                                                                       \
    X(LIST_DIR, "ListDir")                                                                         \
    X(DIR_LISTING, "DirListing")                                                                   \
    X(EXEC_BACKGROUND, "ExecBackground")                                                           \
    X(BACKGROUND_STARTED, "BackgroundStarted")                                                     \
    X(EXEC_POLL, "ExecPoll")                                                                       \
    X(BACKGROUND_STATUS, "BackgroundStatus")                                                       \
    X(EXEC_KILL, "ExecKill")                                                                       \
    X(SET_ENV, "SetEnv")                                                                           \
    X(SET_ENV_RESULT, "SetEnvResult")                                                              \
    X(CONFIGURE_NETWORK, "ConfigureNetwork")                                                       \
    X(SET_HOSTNAME, "SetHostname")                                                                 \
    X(CONFIGURE_WORKSPACE, "ConfigureWorkspace")                                                   \
    X(TEAM_MESSAGE, "TeamMessage")                                                                 \
    X(POLL_DAEMON_RESULTS, "PollDaemonResults")                                                    \
    X(DAEMON_RESULTS, "DaemonResults")                                                             \
    X(HELLO, "Hello")                                                                              \
    X(HELLO_ACK, "HelloAck")                                                                       \
    X(LISTEN, "Listen")                                                                            \
    X(LISTEN_ACK, "ListenAck")                                                                     \
    X(UNLISTEN, "Unlisten")                                                                        \
    X(ACCEPTED, "Accepted")                                                                        \
    X(ACCEPTED_UDP, "AcceptedUdp")                                                                 \
    X(FORWARD_REQUEST, "ForwardRequest")                                                           \
    X(FORWARD_ACK, "ForwardAck")                                                                   \
    X(CLOSE_REQUEST, "CloseRequest")                                                               \
    X(FIREWALL_HINT, "FirewallHint")                                                               \
    X(HINT, "Hint")                                                                                \
    X(SHUTDOWN, "Shutdown")                                                                        \
    X(LIST, "List")                                                                                \
    X(LISTING, "Listing")                                                                          \
    X(STOP, "Stop")                                                                                \
    X(FORWARD, "Forward")                                                                          \
    X(CLOSE, "Close")                                                                              \
    X(ATTACH, "Attach")                                                                            \
    X(CHALLENGE, "Challenge")                                                                      \
    X(JOIN, "Join")                                                                                \
    X(JOINED, "Joined")                                                                            \
    X(USER_ADD, "UserAdd")                                                                         \
    X(USER_REMOVE, "UserRemove")                                                                   \
    X(USER_LIST, "UserList")                                                                       \
    X(USERS, "Users")                                                                              \
    X(TOKEN_NEW, "TokenNew")                                                                       \
    X(TOKEN, "Token")                                                                              \
    X(TOKEN_LIST, "TokenList")                                                                     \
    X(TOKENS, "Tokens")                                                                            \
    X(TOKEN_REVOKE, "TokenRevoke")

enum message_type {
#define MESSAGE_ENUM(id, name) MSG_##id,
    MESSAGE_TYPES(MESSAGE_ENUM)
#undef MESSAGE_ENUM
        MSG_COUNT
};

#endif
