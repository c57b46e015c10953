//! The commands of mongod 7.0 as those who haven't logged in meet them.

/// What the server does with a command before it runs it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// There is no such command.
    Unknown,
    /// Only the database `admin` takes it.
    AdminOnly,
    /// Only for those who have logged in.
    Closed,
    /// For everybody.
    Open,
}

/// Looks at a command by its name and database.
pub(super) fn access(name: &[u8], db: &[u8]) -> Access {
    let is = |known: &&str| known.as_bytes() == name;
    if OPEN.split_whitespace().any(|known| is(&known)) {
        Access::Open
    } else if ADMIN_ONLY.split_whitespace().any(|known| is(&known)) {
        if db == b"admin" {
            Access::Closed
        } else {
            Access::AdminOnly
        }
    } else if OTHERS.split_whitespace().any(|known| is(&known)) {
        Access::Closed
    } else {
        Access::Unknown
    }
}

/// Whether a command is what drivers say for themselves, whoever uses them.
pub(super) fn is_chatter(name: &[u8]) -> bool {
    matches!(
        name,
        b"hello" | b"isMaster" | b"ismaster" | b"ping" | b"endSessions"
    )
}

/// Whether a command may come in an `OP_QUERY`; all others lost that in 5.1.
pub(super) fn is_legacy(name: &[u8]) -> bool {
    matches!(
        name,
        b"hello"
            | b"isMaster"
            | b"ismaster"
            | b"_isSelf"
            | b"authenticate"
            | b"buildinfo"
            | b"buildInfo"
            | b"saslContinue"
            | b"saslStart"
    )
}

const OPEN: &str = "hello isMaster ismaster buildInfo buildinfo ping whatsmyuri connectionStatus \
    saslStart saslContinue authenticate logout";

const ADMIN_ONLY: &str = "abortTransaction analyzeShardKey appendOplogNote cleanupOrphaned \
    commitTransaction configureQueryAnalyzer coordinateCommitTransaction currentOp dropConnections \
    flushRouterConfig fsync fsyncUnlock getClusterParameter getCmdLineOpts getDatabaseVersion \
    getDefaultRWConcern getDiagnosticData getLog getParameter getShardMap getShardVersion \
    internalRenameIfOptionsAndIndexesMatch invalidateUserCache killOp listDatabases lockInfo \
    logApplicationMessage logRotate mergeChunks moveChunk prepareTransaction renameCollection \
    replSetAbortPrimaryCatchUp replSetFreeze replSetGetConfig replSetGetRBID replSetGetStatus \
    replSetHeartbeat replSetInitiate replSetMaintenance replSetReconfig replSetRequestVotes \
    replSetResizeOplog replSetStepDown replSetStepUp replSetSyncFrom replSetUpdatePosition \
    rotateCertificates setClusterParameter setDefaultRWConcern setFeatureCompatibilityVersion \
    setParameter setProfilingFilterGlobally setUserWriteBlockMode shardingState shutdown splitChunk \
    startRecordingTraffic stopRecordingTraffic top";

const OTHERS: &str = "_isSelf aggregate analyze applyOps autoSplitVector cloneCollectionAsCapped \
    collMod collStats collstats compact compactStructuredEncryptionData connPoolStats connPoolSync \
    convertToCapped count create createIndexes createRole createSearchIndexes createUser dataSize \
    datasize dbHash dbhash dbStats dbstats delete distinct drop dropAllRolesFromDatabase \
    dropAllUsersFromDatabase dropDatabase dropIndexes dropRole dropSearchIndex dropUser endSessions \
    explain features filemd5 find findAndModify findandmodify getMore grantPrivilegesToRole \
    grantRolesToRole grantRolesToUser hostInfo insert killAllSessions killAllSessionsByPattern \
    killCursors killSessions listCollections listCommands listIndexes listSearchIndexes mapReduce \
    mapreduce planCacheClear planCacheClearFilters planCacheListFilters planCacheSetFilter profile \
    reIndex refreshLogicalSessionCacheNow refreshSessions revokePrivilegesFromRole \
    revokeRolesFromRole revokeRolesFromUser rolesInfo serverStatus setIndexCommitQuorum splitVector \
    startSession update updateRole updateSearchIndex updateUser usersInfo validate \
    validateDBMetadata voteCommitIndexBuild";
