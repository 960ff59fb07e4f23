//! Flags and their help.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{ConfigError, Settings, SettingsDraft};
use crate::domain::{AssetKind, Keep, KeyId, Role, Shard};
use crate::engine::Stages;
use crate::fetch::{AllowRule, HostPattern, StoreAddress};
use crate::report::ReportFormat;

/// Finds registered logos, products and pictures in the photos of listings.
///
/// Results go to stdout, everything else to stderr. Exit 0: all done; 1: done, but some inputs
/// failed; 2: could not run.
#[derive(Debug, Parser)]
#[command(name = "touchstone", version, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub engine: EngineArguments,
    /// File with settings, TOML: names of flags with _ for -, those of `serve` and `scan` in tables of these names
    #[arg(long, global = true, env = "TOUCHSTONE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Say more (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log as JSON lines
    #[arg(long, global = true)]
    pub log_json: bool,
    /// Send traces to the OpenTelemetry collector at this address, such as http://localhost:4318 (OTLP over HTTP)
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_name = "URL"
    )]
    pub otlp_endpoint: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command shares.
#[derive(Debug, Args)]
pub(super) struct EngineArguments {
    /// Data folder
    #[arg(
        long,
        global = true,
        env = "TOUCHSTONE_HOME",
        default_value = "touchstone-data",
        value_name = "DIR"
    )]
    home: PathBuf,
    /// Whose data: each tenant has records of its own in the data folder [default: default]
    #[arg(long, global = true, env = "TOUCHSTONE_TENANT", value_name = "NAME")]
    tenant: Option<String>,
    /// Folder with the networks [default: models, searched beside the program and in the working folder]
    #[arg(long, global = true, env = "TOUCHSTONE_MODELS", value_name = "DIR")]
    models: Option<PathBuf>,
    /// Model card of the embedding network [default: the one in the models folder]
    #[arg(long, global = true, env = "TOUCHSTONE_MODEL", value_name = "CARD")]
    model: Option<PathBuf>,
    /// Fitted judge, as written by `calibrate` [default: the one in the models folder]
    #[arg(long, global = true, env = "TOUCHSTONE_JUDGE", value_name = "FILE")]
    judge: Option<PathBuf>,
    /// Photos worked on at once [default: one per core]
    #[arg(long, global = true, env = "TOUCHSTONE_THREADS", value_name = "N")]
    threads: Option<usize>,
    /// Least probability that asks for a person's look
    #[arg(long, global = true, env = "TOUCHSTONE_REVIEW_AT", value_name = "P")]
    review_at: Option<f64>,
    /// Least probability that flags a photo
    #[arg(long, global = true, env = "TOUCHSTONE_FLAG_AT", value_name = "P")]
    flag_at: Option<f64>,
    #[arg(long, global = true, value_delimiter = ',', value_name = "LIST", help = stages_help())]
    stages: Option<Vec<String>>,
}

fn stages_help() -> String {
    format!(
        "Stages to run, for measuring what each is worth: {} [default: all]",
        Stages::NAMES.join(", ")
    )
}

impl EngineArguments {
    /// Checks the flags.
    pub fn settings(self) -> Result<Settings, ConfigError> {
        SettingsDraft {
            home: self.home,
            tenant: self.tenant,
            models: self.models,
            model: self.model,
            judge: self.judge,
            threads: self.threads,
            review_at: self.review_at,
            flag_at: self.flag_at,
            stages: self.stages,
        }
        .checked()
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Register(RegisterCommand),
    Assets(AssetsCommand),
    Brands(BrandsCommand),
    Match(MatchCommand),
    Verify(VerifyCommand),
    Scan(ScanCommand),
    Screen(ScreenCommand),
    Serve(ServeCommand),
    Keys(KeysCommand),
    Audit(AuditCommand),
    Eval(EvalCommand),
    Calibrate(CalibrateCommand),
    Doctor(DoctorCommand),
    Config(ConfigCommand),
    Backup(BackupCommand),
    Restore(RestoreCommand),
    Completions(CompletionsCommand),
    Man(ManCommand),
}

/// Register pictures of assets: files, folders, CSV, JSONL or Parquet manifests
///
/// Manifest columns: path (required; several separated by |), brand, asset, kind,
/// registration_number, valid_from, valid_until, notes, authorised_sellers, word_marks.
#[derive(Debug, Args)]
pub(super) struct RegisterCommand {
    /// Pictures, folders or manifests
    #[arg(required = true, value_name = "PATH|MANIFEST")]
    pub sources: Vec<PathBuf>,
    /// Owner, where the manifest does not say
    #[arg(long)]
    pub brand: Option<String>,
    /// Asset that all pictures belong to [default: each file's name]
    #[arg(long)]
    pub asset: Option<String>,
    /// logo, product or packaging, where the manifest does not say [default: logo]
    #[arg(long)]
    pub kind: Option<AssetKind>,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// List, show, change and move registered assets
#[derive(Debug, Args)]
pub(super) struct AssetsCommand {
    #[command(subcommand)]
    pub action: AssetsAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum AssetsAction {
    /// All assets, one a line
    List {
        /// Only this owner's
        #[arg(long)]
        brand: Option<String>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Everything that is known of one asset
    Show {
        /// Id, as `list` prints it
        id: i64,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop comparing photos with these assets
    Disable {
        /// Ids
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Compare photos with these assets again
    Enable {
        /// Ids
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Delete assets with their pictures, for good
    Remove {
        /// Ids
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Write all assets and pictures to a folder: assets.jsonl and pictures/
    Export {
        /// Folder, made if missing
        folder: PathBuf,
    },
    /// Register what `export` wrote
    Import {
        /// Folder written by `export`
        folder: PathBuf,
    },
    /// Describe all pictures anew with the network given by --model
    Reembed,
    /// Make confirmed findings pictures of their assets: the parts of the photos that they are about
    Learn {
        /// Ids of findings, whose photos were kept
        #[arg(required = true, value_name = "FINDING")]
        findings: Vec<i64>,
    },
    /// Remove the pictures that `learn` made of these findings
    Unlearn {
        /// Ids of findings
        #[arg(required = true, value_name = "FINDING")]
        findings: Vec<i64>,
    },
}

/// List brands with what decisions have taught, and promise how often their flagged findings are right
#[derive(Debug, Args)]
pub(super) struct BrandsCommand {
    #[command(subcommand)]
    pub action: BrandsAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum BrandsAction {
    /// All brands, one a line
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Flag a brand's findings only from where decisions bear out that so many are right, with 90 %
    /// confidence; where they do not yet, nothing is flagged, and a person looks
    Promise {
        /// Its name
        brand: String,
        /// Least share that is right, 0.5 to 0.999, or none
        #[arg(value_parser = precision)]
        precision: Precision,
    },
}

/// A promise, or that there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Precision(pub Option<f64>);

fn precision(word: &str) -> Result<Precision, String> {
    match word {
        "none" => Ok(Precision(None)),
        _ => word
            .parse()
            .map(|share| Precision(Some(share)))
            .map_err(|_| "use a share, such as 0.95, or none".to_owned()),
    }
}

/// Compare photos with everything registered
#[derive(Debug, Args)]
pub(super) struct MatchCommand {
    /// Photos
    #[arg(required = true, value_name = "PHOTO")]
    pub photos: Vec<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
    /// Also say how close the nearest assets came that did not match
    #[arg(long)]
    pub explain: bool,
    /// Folder, made if missing, for a picture of each finding: the registered picture, its place in the
    /// photo, the points that agree
    #[arg(long, value_name = "DIR")]
    pub evidence: Option<PathBuf>,
    /// Zip file to write, of one photo: everything that `verify` needs to find the same again
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}

/// Run the case of a bundle again, offline, with the networks installed here
///
/// Works in memory: no data folder is read or made, nothing is unpacked onto the disk. Thresholds and
/// stages are the bundle's. Exit 0: every number is the same to the last bit; 1: something differs, and
/// is named; 2: could not run, also for a bundle that is damaged.
#[derive(Debug, Args)]
pub(super) struct VerifyCommand {
    /// Written by `match --bundle`
    pub bundle: PathBuf,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Compare all photos of a folder, a manifest of listings, or archives
///
/// Manifest columns: photos (required; several separated by |), listing_id, seller_id, seller_name,
/// seller_country; all others are given back. JSONL: one listing a line. Photos are files, addresses to
/// fetch with --fetch-urls, or objects in stores that --fetch-store names. Archives: members whose names are
/// the same up to the first dot are a listing, its fields in a .json.
///
/// Exit 0: done; 1: done, but some photos failed, as the results say: the same again would give the same; 2, or
/// killed: not done, run the same again with --resume.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct ScanCommand {
    #[command(subcommand)]
    pub action: Option<ScanAction>,
    #[command(flatten)]
    pub arguments: Option<ScanArguments>,
    // Not among the others: clap finds no optional group with a group in it.
    #[command(flatten)]
    pub fetching: FetchArguments,
}

#[derive(Debug, Subcommand)]
pub(super) enum ScanAction {
    Merge(MergeCommand),
}

#[derive(Debug, Args)]
pub(super) struct ScanArguments {
    /// Folder, photo, CSV, JSONL or Parquet manifest, tar, tar.gz or zip archive, quoted pattern of these, or - for
    /// JSONL from stdin; in a store s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY, with what else is
    /// in that bucket
    pub source: PathBuf,
    /// Where to write; - for stdout; several with several formats
    #[arg(long, required = true, value_name = "DEST")]
    pub out: Vec<PathBuf>,
    /// jsonl, csv, parquet or html, one for each --out [default: by the ending of --out]
    #[arg(long)]
    pub format: Vec<ReportFormat>,
    /// Only this part of the listings, of N by the hash of their ids: 1/N to N/N; a part that is done is
    /// not done again
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Go on with a scan that was cut off, from DEST.part; one that is done is not done again
    #[arg(long)]
    pub resume: bool,
    /// Finished JSONL results of an earlier scan: photos that were in it are not looked at again, unless
    /// what is registered since may concern them
    #[arg(long, value_name = "EARLIER")]
    pub since: Option<PathBuf>,
    /// Days for which descriptions of photos are kept in the home, 300 kB each (600 of those of 900 pixels and
    /// more): without them a --since cannot tell what is new to a photo, and looks at all again after each
    /// registration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub keep_days: Option<u32>,
    /// Put what is found into the review queue of the home, and keep its listing and photo there for so many days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub queue_days: Option<u32>,
    /// Memory for answers in case the same photo comes again
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    pub cache_mib: u64,
}

/// Flags of commands that may fetch photos.
#[derive(Debug, Args)]
pub(super) struct FetchArguments {
    /// Fetch photos that are given by http: and https: addresses, from the public internet at ports 80 and
    /// 443
    #[arg(long)]
    pub fetch_urls: bool,
    /// What may be reached besides, also by webhooks: a host, *.domain, network or address, with :PORT or :* behind it for
    /// other ports; several with several flags
    #[arg(long, value_name = "HOST|CIDR")]
    pub fetch_allow: Vec<AllowRule>,
    /// Fetch from this host alone, or all below a domain with *.domain; several with several flags
    #[arg(long, value_name = "HOST")]
    pub fetch_only: Vec<HostPattern>,
    /// Read photos in this store, or below this key: s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY, with the
    /// endpoint and the credentials in the environment (AWS_..., GOOGLE_..., AZURE_...); several with several flags
    #[arg(long, value_name = "ADDRESS")]
    pub fetch_store: Vec<StoreAddress>,
    /// Also trust the certificate authorities in this PEM file
    #[arg(long, value_name = "FILE")]
    pub fetch_ca: Option<PathBuf>,
}

/// Put the results of all shards of a scan together
///
/// Checks that the parts are finished, that every shard is there once, that all were made with the same
/// network, registry and settings, and that no photo is given twice. Exit codes as those of `scan`.
#[derive(Debug, Args)]
pub(super) struct MergeCommand {
    /// Where to write; - for stdout
    pub out: PathBuf,
    /// JSONL results of the shards, each with its .summary.json beside it
    #[arg(required = true, value_name = "PART")]
    pub parts: Vec<PathBuf>,
    /// jsonl, csv, parquet or html [default: by the ending of OUT]
    #[arg(long)]
    pub format: Option<ReportFormat>,
}

/// Say whether a listing should go live: allow, review or block
///
/// LISTING.json holds one JSON object, as a line of a manifest: photos (required), listing_id, seller {id,
/// name, country} and whatever else.
#[derive(Debug, Args)]
pub(super) struct ScreenCommand {
    /// The listing
    #[arg(value_name = "LISTING.json")]
    pub listing: PathBuf,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
    /// Answer after so many milliseconds, whatever is not checked by then; it is checked afterwards
    #[arg(long, value_name = "N")]
    pub budget_ms: Option<u64>,
    /// What is kept of it: nothing, findings, listing or photos; each with those before it
    #[arg(long, default_value = "findings", value_parser = keep)]
    pub keep: Keep,
    /// Days for which it is kept; findings and decisions stay
    #[arg(long, default_value_t = 365, value_name = "N")]
    pub keep_days: u32,
}

fn keep(word: &str) -> Result<Keep, String> {
    Keep::of_word(word).ok_or_else(|| "use nothing, findings, listing or photos".to_owned())
}

/// Answer HTTP requests of those who show a key
///
/// The first start, while there are no keys, prints a link that signs in as the operator, once, within
/// an hour. Keys are also made with `touchstone keys create`.
#[derive(Debug, Args)]
pub(super) struct ServeCommand {
    /// Address to listen on
    #[arg(long, env = "TOUCHSTONE_LISTEN", default_value = "127.0.0.1:8470")]
    pub listen: SocketAddr,
    /// Largest request body, MiB
    #[arg(long, default_value_t = 32)]
    pub max_body_mib: usize,
    /// Longest time for one request, seconds
    #[arg(long, default_value_t = 30)]
    pub timeout_s: u64,
    /// Requests waiting or worked on at once; more are turned away
    #[arg(long, default_value_t = 64)]
    pub max_requests: usize,
    /// Days for which scans and their results are kept after they ended
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub keep_scans_days: u32,
    /// Ask for no keys: whoever reaches the server may do everything; on this machine's own address only
    #[arg(long)]
    pub open: bool,
    /// Browsers reach the server over HTTPS, through a proxy, and in no other way: cookies are marked so
    #[arg(long)]
    pub behind_tls: bool,
    /// Requests a second of each key; more are turned away for a moment
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub rate: u32,
    /// Requests of a key at once, after a pause
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub burst: u32,
    #[command(flatten)]
    pub fetching: FetchArguments,
}

/// Make, list and revoke keys, by which the server knows who asks
#[derive(Debug, Args)]
pub(super) struct KeysCommand {
    #[command(subcommand)]
    pub action: KeysAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysAction {
    /// Make a key of the tenant of --tenant, and print it: it is shown this once
    Create {
        /// owner: registers, sees and decides; reviewer: decides; screener: checks photos and listings;
        /// operator: everything
        #[arg(long)]
        role: Role,
        /// Who holds it
        #[arg(long)]
        label: String,
        /// A brand that an owner is bound to; several with several flags [default: all]
        #[arg(long, value_name = "BRAND")]
        brand: Vec<String>,
        /// Days after which it ends [default: not by itself]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// All keys, of --tenant if it is given
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// End keys and what was signed in with them, at once
    Revoke {
        /// Ids, as `list` prints them
        #[arg(required = true)]
        ids: Vec<KeyId>,
    },
}

/// Write the audit log as JSON lines, oldest first
#[derive(Debug, Args)]
pub(super) struct AuditCommand {
    /// Only entries behind this id
    #[arg(long, default_value_t = 0, value_name = "ID")]
    pub after: i64,
}

/// What a right answer must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EvalBy {
    /// The owner
    Brand,
    /// The registered thing
    Asset,
}

/// Measure recall, precision and calibration on labelled photos, in a throw-away home
#[derive(Debug, Args)]
pub(super) struct EvalCommand {
    /// CSV of pictures to register: path,brand,asset,kind
    #[arg(long, value_name = "CSV")]
    pub assets: PathBuf,
    /// CSV of labelled photos: path,brand,asset,kind,x,y,w,h,note
    #[arg(long, value_name = "CSV")]
    pub photos: PathBuf,
    /// What a right answer must name
    #[arg(long, value_enum, default_value = "brand")]
    pub by: EvalBy,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Also write every photo's answer and measurements to this JSONL file
    #[arg(long, value_name = "FILE")]
    pub details: Option<PathBuf>,
    /// Measure what decisions teach: confirm so many findings of each brand as the labels say, such as
    /// 0,1,3,10, and compare the answers on all other photos before and after
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N,N…",
        conflicts_with = "details"
    )]
    pub teach: Vec<usize>,
}

/// Fit the judge to labelled photos
#[derive(Debug, Args)]
pub(super) struct CalibrateCommand {
    /// CSV of pictures to register; give one for each --photos
    #[arg(long, required_unless_present = "refit", value_name = "CSV")]
    pub assets: Vec<PathBuf>,
    /// CSV of labelled photos
    #[arg(long, required_unless_present = "refit", value_name = "CSV")]
    pub photos: Vec<PathBuf>,
    /// Fit to what an earlier run wrote with --rows, in seconds: no picture is looked at
    #[arg(long, conflicts_with_all = ["assets", "photos", "weight", "rows"], value_name = "FILE")]
    pub refit: Option<PathBuf>,
    /// How much each photo of a CSV counts, one for each --photos [default: 1]
    #[arg(long, value_name = "W")]
    pub weight: Vec<f64>,
    /// Also write what was measured of every candidate, with its label, as JSON lines: for a fit of
    /// one's own
    #[arg(long, value_name = "FILE")]
    pub rows: Option<PathBuf>,
    /// Where the data come from, kept in the judge
    #[arg(long, default_value = "unnamed data")]
    pub provenance: String,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Check runtime, network, index, database and disk: what is wrong and what to do
#[derive(Debug, Args)]
pub(super) struct DoctorCommand {
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Show the settings
#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    pub action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigAction {
    /// Each setting with where it comes from: the command line, else the environment (TOUCHSTONE_ and its
    /// name; not for those of `scan`), else the file, else its default
    Show,
}

/// Write all tenants' records with their pictures, and the keys, to a new folder; a server may go on
///
/// Each database is written as it is at one moment; what is registered meanwhile may or may not be in it.
#[derive(Debug, Args)]
pub(super) struct BackupCommand {
    /// Folder, which must not be there yet
    pub folder: PathBuf,
}

/// Put what `backup` wrote into a data folder that is not there yet
#[derive(Debug, Args)]
pub(super) struct RestoreCommand {
    /// Folder written by `backup`
    pub folder: PathBuf,
}

/// Print what a shell needs to complete these commands
#[derive(Debug, Args)]
pub(super) struct CompletionsCommand {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Write a manual page for each command
#[derive(Debug, Args)]
pub(super) struct ManCommand {
    /// Folder, made if missing
    pub folder: PathBuf,
}
