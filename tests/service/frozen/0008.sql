BEGIN TRANSACTION;
CREATE TABLE access_tokens (
	name VARCHAR(64) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	read_only BOOLEAN NOT NULL, 
	created FLOAT NOT NULL, 
	revoked FLOAT, 
	PRIMARY KEY (name)
);
INSERT INTO "access_tokens" VALUES('ana','d782427c0f8a671de3915d66a7e218f7daa8d36ec153cb1f88316a9361cb214e',0,1.7958648758332982063e+09,NULL);
INSERT INTO "access_tokens" VALUES('grafana','c11cb18f89ea5076cc0257acc9f9f5efe9acc957bfbcf3aec418b93af68ccb6e',1,1.7958648758352138996e+09,NULL);
INSERT INTO "access_tokens" VALUES('bo','40b55b32b8668b0d93ec1f03d2d945bc6515e61a1b854674060b7c979474997b',0,1.79586487583600616451e+09,1.79586487583687353132e+09);
CREATE TABLE "allasprak_version" (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "allasprak_version" VALUES('0008');
CREATE TABLE attempts (
	trial VARCHAR(20) NOT NULL, 
	number INTEGER NOT NULL, 
	experiment VARCHAR(12) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	epoch INTEGER NOT NULL, 
	rate FLOAT, 
	started FLOAT NOT NULL, 
	ended FLOAT, node VARCHAR(255), 
	PRIMARY KEY (trial, number), 
	FOREIGN KEY(trial) REFERENCES trials (digest)
);
INSERT INTO "attempts" VALUES('c25e2bd2db896eebff6c',1,'731dc3e65bd2','succeeded','',1,NULL,1.79547591467765927319e+09,1.7954759146863019467e+09,'gpu7');
INSERT INTO "attempts" VALUES('df39db4f078736a01c4e',1,'731dc3e65bd2','succeeded','',0,NULL,1.79547591469180059433e+09,1.79547591469418931007e+09,NULL);
CREATE TABLE clock (
	now INTEGER NOT NULL, 
	PRIMARY KEY (now)
);
INSERT INTO "clock" VALUES(5);
CREATE TABLE events (
	experiment VARCHAR(12) NOT NULL, 
	number INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	data JSON NOT NULL, 
	PRIMARY KEY (experiment, number), 
	FOREIGN KEY(experiment) REFERENCES experiments (id)
);
INSERT INTO "events" VALUES('731dc3e65bd2',1,1.79547591466837954516e+09,'experiment','{"state": "queued", "reason": ""}');
INSERT INTO "events" VALUES('731dc3e65bd2',2,1.79547591467554044724e+09,'experiment','{"state": "running", "reason": ""}');
INSERT INTO "events" VALUES('731dc3e65bd2',3,1.79547591467686843864e+09,'trial','{"trial": "c25e2bd2db896eebff6c", "state": "running", "epoch": 0}');
INSERT INTO "events" VALUES('731dc3e65bd2',4,1.79547591468014812463e+09,'trial','{"trial": "c25e2bd2db896eebff6c", "state": "running", "epoch": 1, "scores": [{"language": "en", "metric": "f1", "value": 50.5}]}');
INSERT INTO "events" VALUES('731dc3e65bd2',5,1.79547591468405604367e+09,'trial','{"trial": "c25e2bd2db896eebff6c", "state": "succeeded"}');
INSERT INTO "events" VALUES('731dc3e65bd2',6,1.79547591469140624996e+09,'trial','{"trial": "df39db4f078736a01c4e", "state": "running", "epoch": 0}');
INSERT INTO "events" VALUES('731dc3e65bd2',7,1.79547591469304418558e+09,'trial','{"trial": "df39db4f078736a01c4e", "state": "succeeded"}');
INSERT INTO "events" VALUES('731dc3e65bd2',8,1.79547591469695472718e+09,'experiment','{"state": "succeeded", "reason": ""}');
INSERT INTO "events" VALUES('ca390f82b767',1,1.79547591469975161559e+09,'experiment','{"state": "queued", "reason": ""}');
INSERT INTO "events" VALUES('ca390f82b767',2,1.79547591470287966732e+09,'experiment','{"state": "paused", "reason": ""}');
CREATE TABLE experiments (
	id VARCHAR(12) NOT NULL, 
	name TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	spec JSON NOT NULL, 
	planned BOOLEAN NOT NULL, 
	priority INTEGER NOT NULL, 
	request_key VARCHAR(200), 
	request_digest VARCHAR(64), 
	state VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	created FLOAT NOT NULL, 
	started FLOAT, 
	finished FLOAT, 
	driver_pid INTEGER, 
	driver_created FLOAT, 
	driver_deaths INTEGER NOT NULL, 
	driver_due FLOAT, 
	driver_unwanted BOOLEAN NOT NULL, 
	events INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (request_key)
);
INSERT INTO "experiments" VALUES('731dc3e65bd2','ñ 中文','Ana','{"name": "\u00f1 \u4e2d\u6587", "task": "ner", "encoder": "e", "data": "sample", "source_language": "en", "target_languages": ["de", "hi"], "grouping": "all", "methods": ["zero-shot"], "k": [5], "seeds": [1], "alpha": null, "search": {"searcher": {"name": "grid", "seed": 0}, "scheduler": null, "objective": "source-dev", "budget": null}, "protocol": "paper", "training": {"epochs": null, "batch_size": null, "learning_rate": null, "accumulation": null, "precision": null, "max_source_examples": null, "max_test_examples": null}, "keep": "selected", "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0.0, "memory_per_trial": 0.0, "max_concurrent_trials": null}, "priority": 0, "test_at": "selected", "allow_large": false, "tags": ["a", "b"], "owner": "Ana"}',1,0,NULL,NULL,'succeeded','',1.79547591466546249388e+09,1.79547591467419052121e+09,1.79547591469607734681e+09,NULL,NULL,0,NULL,0,8);
INSERT INTO "experiments" VALUES('ca390f82b767','','Bo','{"name": "", "task": "ner", "encoder": "e", "data": "sample", "source_language": "en", "target_languages": ["de", "hi"], "grouping": "all", "methods": ["zero-shot"], "k": [5], "seeds": [1], "alpha": null, "search": {"searcher": {"name": "grid", "seed": 0}, "scheduler": null, "objective": "source-dev", "budget": null}, "protocol": "paper", "training": {"epochs": null, "batch_size": null, "learning_rate": null, "accumulation": null, "precision": null, "max_source_examples": null, "max_test_examples": null}, "keep": "selected", "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0.0, "memory_per_trial": 0.0, "max_concurrent_trials": null}, "priority": 0, "test_at": "selected", "allow_large": false, "tags": [], "owner": "Bo"}',1,0,NULL,NULL,'paused','',1.79547591469916462897e+09,NULL,NULL,NULL,NULL,0,NULL,0,2);
CREATE TABLE lease (
	number INTEGER NOT NULL, 
	token VARCHAR(16) NOT NULL, 
	home TEXT NOT NULL, 
	folder TEXT NOT NULL, 
	host TEXT NOT NULL, 
	place TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	created FLOAT NOT NULL, 
	beats BIGINT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "lease" VALUES(1,'','/home/bo/.allasprak','2049:131','leda','0f1b7f6e-6c39-4f0c-9a43-0c9f6f0a7c11 pid:[4026531836]',4711,1234.56,7);
CREATE TABLE measures (
	trial VARCHAR(20) NOT NULL, 
	step INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	"values" JSON NOT NULL, 
	PRIMARY KEY (trial, step), 
	FOREIGN KEY(trial) REFERENCES trials (digest)
);
INSERT INTO "measures" VALUES('c25e2bd2db896eebff6c',20,2,'{"loss": 0.5}');
CREATE TABLE "planned_results" (
	id INTEGER NOT NULL, 
	experiment VARCHAR(12) NOT NULL, 
	method VARCHAR(64) NOT NULL, 
	k INTEGER NOT NULL, 
	seed INTEGER NOT NULL, 
	alpha FLOAT, 
	candidate TEXT NOT NULL, 
	judged_on VARCHAR(16) NOT NULL, 
	language VARCHAR(32) NOT NULL, 
	split VARCHAR(8) NOT NULL, 
	trial VARCHAR(20) NOT NULL, 
	selection VARCHAR(48) NOT NULL, 
	data VARCHAR(20) NOT NULL, 
	at INTEGER NOT NULL, 
	numerics INTEGER DEFAULT '3' NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(trial) REFERENCES trials (digest), 
	FOREIGN KEY(experiment) REFERENCES experiments (id)
);
INSERT INTO "planned_results" VALUES(1,'731dc3e65bd2','zero-shot',0,1,NULL,'','','en','test','c25e2bd2db896eebff6c','source-dev','en-data',1,3);
INSERT INTO "planned_results" VALUES(2,'731dc3e65bd2','zero-shot',0,1,NULL,'','','de','test','c25e2bd2db896eebff6c','source-dev','de-data',1,3);
INSERT INTO "planned_results" VALUES(3,'731dc3e65bd2','zero-shot',0,1,NULL,'','','hi','test','c25e2bd2db896eebff6c','source-dev','hi-data',1,3);
INSERT INTO "planned_results" VALUES(4,'731dc3e65bd2','zero-shot',0,1,NULL,'','','en','dev','c25e2bd2db896eebff6c','source-dev','en-dev',1,3);
INSERT INTO "planned_results" VALUES(5,'731dc3e65bd2','ord-FS',5,1,NULL,'','','de','test','df39db4f078736a01c4e','last','de-data',1,3);
INSERT INTO "planned_results" VALUES(6,'731dc3e65bd2','ord-FS',5,1,NULL,'','','en','test','c25e2bd2db896eebff6c','source-dev','en-data',1,3);
INSERT INTO "planned_results" VALUES(7,'ca390f82b767','zero-shot',0,1,NULL,'','','en','test','c25e2bd2db896eebff6c','source-dev','en-data',5,3);
INSERT INTO "planned_results" VALUES(8,'ca390f82b767','zero-shot',0,1,NULL,'','','de','test','c25e2bd2db896eebff6c','source-dev','de-data',5,3);
INSERT INTO "planned_results" VALUES(9,'ca390f82b767','zero-shot',0,1,NULL,'','','hi','test','c25e2bd2db896eebff6c','source-dev','hi-data',5,3);
INSERT INTO "planned_results" VALUES(10,'ca390f82b767','zero-shot',0,1,NULL,'','','en','dev','c25e2bd2db896eebff6c','source-dev','en-dev',5,3);
INSERT INTO "planned_results" VALUES(11,'ca390f82b767','ord-FS',5,1,NULL,'','','de','test','df39db4f078736a01c4e','last','de-data',5,3);
INSERT INTO "planned_results" VALUES(12,'ca390f82b767','ord-FS',5,1,NULL,'','','en','test','c25e2bd2db896eebff6c','source-dev','en-data',5,3);
CREATE TABLE planned_trials (
	experiment VARCHAR(12) NOT NULL, 
	trial VARCHAR(20) NOT NULL, 
	position INTEGER NOT NULL, 
	selections JSON NOT NULL, 
	evaluate JSON NOT NULL, 
	judge JSON NOT NULL, 
	sweep VARCHAR(20), 
	test_every_report BOOLEAN NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	reused BOOLEAN NOT NULL, 
	estimated FLOAT, keep BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (experiment, trial), 
	FOREIGN KEY(experiment) REFERENCES experiments (id), 
	FOREIGN KEY(trial) REFERENCES trials (digest)
);
INSERT INTO "planned_trials" VALUES('731dc3e65bd2','c25e2bd2db896eebff6c',0,'["source-dev"]','{"en": "en-data", "de": "de-data", "hi": "hi-data"}','{}',NULL,0,'succeeded','',0,NULL,1);
INSERT INTO "planned_trials" VALUES('731dc3e65bd2','df39db4f078736a01c4e',1,'["last"]','{"de": "de-data"}','{}',NULL,0,'succeeded','',0,NULL,0);
INSERT INTO "planned_trials" VALUES('ca390f82b767','c25e2bd2db896eebff6c',0,'["source-dev"]','{"en": "en-data", "de": "de-data", "hi": "hi-data"}','{}',NULL,0,'succeeded','',1,NULL,1);
INSERT INTO "planned_trials" VALUES('ca390f82b767','df39db4f078736a01c4e',1,'["last"]','{"de": "de-data"}','{}',NULL,0,'succeeded','',1,NULL,0);
CREATE TABLE scores (
	id INTEGER NOT NULL, 
	trial VARCHAR(20) NOT NULL, 
	step INTEGER NOT NULL, 
	language VARCHAR(32) NOT NULL, 
	split VARCHAR(8) NOT NULL, 
	data VARCHAR(20) NOT NULL, 
	metric VARCHAR(32) NOT NULL, 
	value FLOAT NOT NULL, 
	epoch INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	examples INTEGER NOT NULL, 
	cut BOOLEAN NOT NULL, 
	at INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(trial) REFERENCES trials (digest), 
	UNIQUE (trial, step, language, split, data, metric)
);
INSERT INTO "scores" VALUES(1,'c25e2bd2db896eebff6c',10,'en','dev','en-dev','f1',50.5,1,1,10,0,2);
INSERT INTO "scores" VALUES(2,'c25e2bd2db896eebff6c',10,'en','test','en-data','f1',88.25,1,1,10,0,3);
INSERT INTO "scores" VALUES(3,'c25e2bd2db896eebff6c',10,'de','test','de-data','f1',77.5,1,1,10,0,3);
INSERT INTO "scores" VALUES(4,'c25e2bd2db896eebff6c',10,'hi','test','hi-data','f1',66.0,1,1,10,0,3);
INSERT INTO "scores" VALUES(5,'df39db4f078736a01c4e',10,'de','test','de-data','f1',79.125,1,1,10,0,4);
CREATE TABLE "selections" (
	trial VARCHAR(20) NOT NULL, 
	selection VARCHAR(48) NOT NULL, 
	step INTEGER NOT NULL, 
	at INTEGER NOT NULL, 
	kept BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (trial, selection), 
	FOREIGN KEY(trial) REFERENCES trials (digest)
);
INSERT INTO "selections" VALUES('c25e2bd2db896eebff6c','source-dev',10,3,1);
INSERT INTO "selections" VALUES('df39db4f078736a01c4e','last',10,4,0);
CREATE TABLE shares (
	experiment VARCHAR(12) NOT NULL, 
	cpus FLOAT NOT NULL, 
	gpus FLOAT NOT NULL, 
	memory FLOAT NOT NULL, 
	beat FLOAT NOT NULL, 
	waiting FLOAT, 
	wants INTEGER NOT NULL, 
	used FLOAT NOT NULL, 
	turns INTEGER NOT NULL, 
	PRIMARY KEY (experiment), 
	FOREIGN KEY(experiment) REFERENCES experiments (id)
);
CREATE TABLE sizes (
	encoder VARCHAR(20) NOT NULL, 
	data VARCHAR(20) NOT NULL, 
	examples INTEGER NOT NULL, 
	windows INTEGER NOT NULL, 
	sub_words BIGINT NOT NULL, 
	PRIMARY KEY (encoder, data)
);
INSERT INTO "sizes" VALUES('digest','split',10,11,200);
CREATE TABLE slots (
	trial VARCHAR(20) NOT NULL, 
	experiment VARCHAR(12) NOT NULL, 
	since FLOAT NOT NULL, 
	share FLOAT NOT NULL, 
	cpus FLOAT NOT NULL, 
	gpus FLOAT NOT NULL, 
	memory FLOAT NOT NULL, 
	PRIMARY KEY (trial), 
	FOREIGN KEY(experiment) REFERENCES experiments (id), 
	FOREIGN KEY(trial) REFERENCES trials (digest)
);
CREATE TABLE tags (
	experiment VARCHAR(12) NOT NULL, 
	tag TEXT NOT NULL, 
	PRIMARY KEY (experiment, tag), 
	FOREIGN KEY(experiment) REFERENCES experiments (id)
);
INSERT INTO "tags" VALUES('731dc3e65bd2','a');
INSERT INTO "tags" VALUES('731dc3e65bd2','b');
CREATE TABLE trials (
	digest VARCHAR(20) NOT NULL, 
	config JSON NOT NULL, 
	source VARCHAR(20), 
	attempt INTEGER NOT NULL, 
	epochs INTEGER NOT NULL, 
	facts JSON, 
	PRIMARY KEY (digest)
);
INSERT INTO "trials" VALUES('c25e2bd2db896eebff6c','{"task": "ner", "method": "zero-shot", "source_language": "en", "target_languages": [], "k": 0, "seed": 1, "alpha": null, "protocol": "paper", "training": {"epochs": 3, "batch_size": 32, "learning_rate": 2e-05, "weight_decay": 0.0, "adam_epsilon": 1e-08, "clip_norm": 1.0, "warmup_steps": 0, "max_length": 128, "accumulation": 1, "precision": "fp32", "schedule_first": false, "evaluate_every": null, "max_source_examples": null}, "encoder": "encoder", "encoder_digest": "digest", "data_digest": "data", "population": null}',NULL,1,3,'{"shots": {}, "work": {"training": {"sub_words": 100, "seconds": 3.0, "steps": 10, "parameters": 1000}, "evaluation": {"sub_words": 50, "seconds": 1.0, "steps": 0, "parameters": 0}}, "sizes": {"split": {"examples": 10, "windows": 11, "sub_words": 200}}, "threads": 1, "device": "cpu (x86_64)"}');
INSERT INTO "trials" VALUES('df39db4f078736a01c4e','{"task": "ner", "method": "ord-FS", "source_language": "en", "target_languages": ["de"], "k": 5, "seed": 1, "alpha": null, "protocol": "paper", "training": {"epochs": 3, "batch_size": 32, "learning_rate": 2e-05, "weight_decay": 0.0, "adam_epsilon": 1e-08, "clip_norm": 1.0, "warmup_steps": 0, "max_length": 128, "accumulation": 1, "precision": "fp32", "schedule_first": false, "evaluate_every": null, "max_source_examples": null}, "encoder": "encoder", "encoder_digest": "digest", "data_digest": "data", "population": null}','c25e2bd2db896eebff6c',1,3,'{"shots": {}}');
CREATE INDEX ix_experiments_created ON experiments (created);
CREATE INDEX ix_experiments_owner ON experiments (owner);
CREATE INDEX ix_experiments_state ON experiments (state);
CREATE INDEX ix_attempts_experiment ON attempts (experiment);
CREATE INDEX ix_planned_trials_trial ON planned_trials (trial);
CREATE INDEX ix_scores_at ON scores (at);
CREATE INDEX ix_scores_trial_language ON scores (trial, language, split, data);
CREATE INDEX ix_slots_experiment ON slots (experiment);
CREATE INDEX ix_tags_tag ON tags (tag);
CREATE INDEX ix_planned_results_at ON planned_results (at);
CREATE INDEX ix_planned_results_trial ON planned_results (trial);
CREATE INDEX ix_planned_results_experiment ON planned_results (experiment);
CREATE INDEX ix_selections_at ON selections (at);
COMMIT;
